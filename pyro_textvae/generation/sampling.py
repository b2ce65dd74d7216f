# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences drawn from a model, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from pyro_textvae.config.checks import SEED, at_least, check_argument
from pyro_textvae.contract import DATA_PLATE, SOURCE, TEXT_SITE, TOKENS
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.distributions.unwrapped import unwrapped
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.generation.given_source import draws_source, latents_given_source
from pyro_textvae.generation.method import DecodingMethod, build_method
from pyro_textvae.generation.read_once import equal_sources_read_once
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.batches import Fields, check_batch, text_fields_of
from pyro_textvae.infer.global_latents import global_sites, is_global
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import Condition, fields_of, simulate, size_of
from pyro_textvae.special_tokens import EOS

SENTENCES_AT_ONCE = 1000
"""A part. Its scores are what fills memory: at 10,000 words a sentence takes 0.12 MB."""


class _DecodingMessenger(Messenger):
    """Lets a method choose every token of the sentences that a program generates."""

    def __init__(self, method: DecodingMethod, unknown: bool) -> None:
        super().__init__()
        self.method = method
        self.unknown = unknown

    def _pyro_sample(self, message: Any) -> None:
        if message["done"]:
            return
        text = unwrapped(message["fn"])
        observed = message["is_observed"]
        if isinstance(text, AutoregressiveCategorical) and not observed:
            message["value"] = self.method.decode(text, unknown=self.unknown)
            message["done"] = True
        elif message["name"] == TEXT_SITE and not (self.method.is_the_models_own and self.unknown):
            wanted = type(self.method).__name__ if self.unknown else "unknown=False"
            kind = "what the program computes" if observed else type(text).__name__
            raise UserError(
                f"{wanted} chooses tokens one by one, and the text site {TEXT_SITE!r} is "
                f"{kind}, not AutoregressiveCategorical: use method='ancestral' "
                "and unknown=True"
            )


def sample(
    model: nn.Module,
    condition: Condition,
    *,
    method: str | DecodingMethod = "ancestral",
    seed: int = 0,
    unknown: bool = True,
    latents: Mapping[str, Tensor] | None = None,
    guide: nn.Module | None = None,
) -> Tensor:
    """Draw sentences from the model, ids ``(N, max_length)``.

    Where the text has a plate inside ``"data"``, such as the turns of a conversation, the ids are
    ``(N, turns, max_length)``. More than 1,000 sentences are those of :func:`sample_in_parts`.

    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> sample(model, 3).shape
    torch.Size([3, 7])
    >>> sample(model, 3, method="greedy", latents={"z": torch.zeros(3, 2)}).unique(dim=0).shape
    torch.Size([1, 7])

    :param condition: how many sentences, or a batch with what each sentence is conditioned on
        (``source``, ``labels``), of which ``tokens`` is not used.
    :param method: ``"ancestral"`` draws every token, ``"greedy"`` takes the likeliest; a name of
        the catalogue, ``path/to/file.py:Class``, or a :class:`DecodingMethod`.
    :param unknown: whether ``<unk>`` may be generated. Without it every token is chosen among the
        others: no longer the model's own distribution, but easier to read.
    :param latents: values of latent sites, ``(N, ...)``, of global ones as the model has them; the
        others come from the prior.
    :param guide: where the global latents, outside the plate ``"data"``, are drawn from, once for
        all sentences of the call: what was learnt of them. Without it they come from the prior. In
        a model that draws its source too, the latents that it tells of are drawn from it: see
        :func:`~pyro_textvae.generation.given_source.latents_given_source`.
    :raises UserError: for fewer than one sentence, an unknown method, a condition without a field
        that the model needs, latents that the model does not have, and where the method or
        ``unknown=False`` cannot be honoured, for the text is no :class:`AutoregressiveCategorical`.
    """
    parts = sample_in_parts(
        model,
        condition,
        method=method,
        seed=seed,
        unknown=unknown,
        latents=latents,
        guide=guide,
    )
    return torch.cat(list(parts))


def sample_in_parts(
    model: nn.Module,
    condition: Condition,
    *,
    method: str | DecodingMethod = "ancestral",
    seed: int = 0,
    unknown: bool = True,
    latents: Mapping[str, Tensor] | None = None,
    guide: nn.Module | None = None,
) -> Iterator[Tensor]:
    """The sentences of :func:`sample`, 1,000 at a time, so that memory does not grow with them.

    The first part has its random numbers from ``seed``, every later one from ``seed`` and its
    place: the first 1,000 sentences are the same however many are asked for.

    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> [len(part) for part in sample_in_parts(model, 2100)]
    [1000, 1000, 100]

    :param condition, method, seed, unknown, latents, guide: as in :func:`sample`.
    :raises UserError: as :func:`sample`, when the first part is asked for.
    """
    decoding = build_method(method)
    check_argument("unknown", unknown, bool)
    seed = check_argument("seed", seed, int, SEED)
    if isinstance(condition, Mapping | Tensor | list):
        check_batch(condition)
    else:
        condition = check_argument("number of sentences", condition, int)
    size = check_argument("number of sentences", size_of(condition), int, at_least(1))
    given = _checked_latents(latents or {})
    if draws_source(model) and not isinstance(condition, int):
        given = _given_source(model, guide, condition, seed, given)
    dims: dict[str, int] = {}
    if size > SENTENCES_AT_ONCE or guide is not None:
        nodes = _nodes_of_one(model, condition, seed)
        given = _draws_of_globals(nodes, guide, condition, seed) | given
        if size > SENTENCES_AT_ONCE:
            local = {n: nodes[n] for n in given if n in nodes and not is_global(nodes[n])}
            dims = {name: data_dim(node) for name, node in local.items()}
    for first in range(0, size, SENTENCES_AT_ONCE):
        rows = slice(first, min(first + SENTENCES_AT_ONCE, size))
        yield _draw(
            model,
            _rows_of_condition(condition, rows),
            {name: _rows_of_latent(value, dims.get(name), rows) for name, value in given.items()},
            decoding,
            seed_of(seed, "part", first) % 2**32 if first else seed,
            unknown,
        )


def data_dim(site: Any) -> int:
    """Where a site's value has the plate ``"data"``, counted from the right.

    :param site: of a trace.
    :raises UserError: for a site outside of that plate.
    """
    for frame in site["cond_indep_stack"]:
        if frame.name == DATA_PLATE:
            return frame.dim - site["fn"].event_dim
    raise UserError(
        f"sample site {site['name']!r} is outside the plate {DATA_PLATE!r}: put it inside"
    )


def _given_source(
    model: nn.Module,
    guide: nn.Module | None,
    condition: Any,
    seed: int,
    given: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The latents that are given, and draws given the source of those that it tells of.

    :raises UserError: where latents are missing, and there is no guide to draw them from.
    """
    if guide is None:
        if given:
            return dict(given)
        raise UserError(
            f"{type(model).__name__} draws its source too, so texts for a source need its latents "
            "given that: give guide=, or latents="
        )
    return latents_given_source(model, guide, condition[SOURCE], seed=seed) | dict(given)


def _checked_latents(latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not (isinstance(latents, Mapping) and all(isinstance(v, Tensor) for v in latents.values())):
        raise UserError(f"latents map names of sites to tensors, got {latents!r}")
    return dict(latents)


def _draw(
    model: nn.Module,
    condition: Condition,
    given: Mapping[str, Tensor],
    decoding: DecodingMethod,
    seed: int,
    unknown: bool,
) -> Tensor:
    if not isinstance(condition, int):
        condition = to_device(condition, model)
    with (
        evaluation_mode(model, model, seed),
        equal_sources_read_once(model),
        poutine.condition(data=dict(given)),
        _DecodingMessenger(decoding, unknown),
    ):
        nodes: Any = simulate(model, condition).nodes
    for name in (TEXT_SITE, *given):
        if name not in nodes:
            sites = ", ".join(n for n, node in nodes.items() if node["type"] == "sample")
            raise UserError(f"the model has no site {name!r}: its sites are {sites}")
    text = nodes[TEXT_SITE]
    return text["value"].movedim(data_dim(text), 0)


def _nodes_of_one(model: nn.Module, condition: Condition, seed: int) -> dict[str, Any]:
    """The sites of a draw of one sentence."""
    one = _rows_of_condition(condition, slice(1))
    with evaluation_mode(model, model, seed):
        trace = simulate(model, one if isinstance(one, int) else to_device(one, model))
    nodes: Any = trace.nodes
    return {name: node for name, node in nodes.items() if node["type"] == "sample"}


def _draws_of_globals(
    nodes: Mapping[str, Any], guide: nn.Module | None, condition: Condition, seed: int
) -> dict[str, Tensor]:
    """One draw of every global latent; from the model's own where there is no guide.

    :param nodes: the sites of a draw of the model.
    """
    drawn = {name: n["value"] for name, n in nodes.items() if _is_global_latent(n)}
    if not drawn or guide is None:
        return drawn
    # A guide wants a sentence to run on, and its global latents hang on none.
    fields = {} if isinstance(condition, int) else {n: v[:1] for n, v in condition.items()}
    fields = {TOKENS: torch.tensor([[EOS]])} | fields
    with evaluation_mode(guide, guide, seed):
        trace = trace_guide(guide, **fields_of(guide, to_device(fields, guide)))
    return {name: site["value"] for name, site in global_sites(trace) if name in drawn}


def _is_global_latent(site: Any) -> bool:
    return not (site_is_subsample(site) or site["infer"].get("_deterministic")) and is_global(site)


def _rows_of_condition(condition: Condition, rows: slice) -> Condition:
    if isinstance(condition, int):
        return rows.stop - (rows.start or 0)
    return Fields({n: value[rows] for n, value in condition.items()}, text_fields_of(condition))


def _rows_of_latent(value: Tensor, dim: int | None, rows: slice) -> Tensor:
    """The value for these sentences; all of it where it is one for every sentence."""
    if dim is None or value.shape[dim] == 1:
        return value
    return value.narrow(dim, rows.start, rows.stop - rows.start)
