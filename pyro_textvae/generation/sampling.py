# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences drawn from a model, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from pyro_textvae.config.checks import SEED, at_least, check_argument
from pyro_textvae.contract import SOURCE, TEXT_SITE, TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.given_source import draws_source, latents_given_source
from pyro_textvae.generation.method import DecodingMethod, build_method
from pyro_textvae.generation.read_once import equal_sources_read_once
from pyro_textvae.generation.rows import (
    data_dim,
    repeated_condition,
    repeated_latent,
    rows_of_condition,
    rows_of_latent,
)
from pyro_textvae.generation.text_site import DecodingMessenger
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.batches import check_batch
from pyro_textvae.infer.global_latents import global_sites, is_global
from pyro_textvae.infer.masked_text import without_masked
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import Condition, fields_of, simulate, size_of
from pyro_textvae.special_tokens import EOS

SENTENCES_AT_ONCE = 1000
"""A part. Its scores are what fills memory: at 10,000 words a sentence takes 0.12 MB."""


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
    check_argument("unknown", unknown, bool)
    parts = generate_in_parts(
        model,
        condition,
        method=method,
        seed=seed,
        constraints=Constraints(unknown=unknown),
        latents=latents,
        guide=guide,
    )
    for part in parts:
        yield part.tokens


def generate(
    model: nn.Module,
    condition: Condition,
    *,
    method: str | DecodingMethod = "ancestral",
    seed: int = 0,
    constraints: Constraints | None = None,
    num_latents: int = 1,
    latents: Mapping[str, Tensor] | None = None,
    guide: nn.Module | None = None,
) -> Generated:
    """Sentences of the model, each with its log-probability, and what they must keep.

    The program runs as it stands: latents are drawn at their sites, and at the text site the method
    takes the place of the draw.

    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> beam = build_method("beam", {"num_beams": 4, "num_return_sequences": 2})
    >>> generated = generate(model, 3, method=beam, constraints=Constraints(min_length=4))
    >>> generated.tokens.shape, generated.log_prob.shape
    (torch.Size([6, 7]), torch.Size([6]))

    :param condition, method, seed, latents, guide: as in :func:`sample`.
    :param constraints: lengths, a prefix, what is forbidden and what is forced.
    :param num_latents: sentences for each, every one at a draw of the latents of its own.
    :returns: those of one sentence side by side: its draws of the latents, and within each the
        method's ``num_return_sequences``, the best first.
    :raises UserError: as :func:`sample`, and where the constraints leave no sentence.
    """
    parts = generate_in_parts(
        model,
        condition,
        method=method,
        seed=seed,
        constraints=constraints,
        num_latents=num_latents,
        latents=latents,
        guide=guide,
    )
    return Generated.cat(list(parts))


def generate_in_parts(
    model: nn.Module,
    condition: Condition,
    *,
    method: str | DecodingMethod = "ancestral",
    seed: int = 0,
    constraints: Constraints | None = None,
    num_latents: int = 1,
    latents: Mapping[str, Tensor] | None = None,
    guide: nn.Module | None = None,
) -> Iterator[Generated]:
    """The sentences of :func:`generate`, at most 1,000 rows at a time, as :func:`sample_in_parts`.

    :param others: as in :func:`generate`.
    :raises UserError: as :func:`generate`, when the first part is asked for.
    """
    decoding = build_method(method)
    num_latents = check_argument("num_latents", num_latents, int, at_least(1))
    copies = num_latents * decoding.num_draws
    if isinstance(condition, Mapping | Tensor | list):
        check_batch(condition)
    else:
        condition = check_argument("number of sentences", condition, int)
    check_argument("number of sentences", size_of(condition), int, at_least(1))
    given = _checked_latents(latents or {})
    if copies > 1 and given:
        nodes = _nodes_of_one(model, condition, check_argument("seed", seed, int, SEED))
        given = {
            name: repeated_latent(value, nodes.get(name), copies) for name, value in given.items()
        }
    yield from generate_rows(
        model,
        repeated_condition(condition, copies),
        copies=copies,
        method=decoding,
        seed=seed,
        constraints=constraints,
        latents=given,
        guide=guide,
    )


def generate_rows(
    model: nn.Module,
    condition: Condition,
    *,
    copies: int,
    method: DecodingMethod,
    seed: int,
    constraints: Constraints | None,
    latents: Mapping[str, Tensor] | None,
    guide: nn.Module | None = None,
) -> Iterator[Generated]:
    """Sentences of a condition and latents that have ``copies`` rows for each already.

    :param others: as in :func:`generate`.
    """
    seed = check_argument("seed", seed, int, SEED)
    size = size_of(condition)
    given = _checked_latents(latents or {})
    at_once = max(1, SENTENCES_AT_ONCE // (copies * method.num_rows)) * copies
    if draws_source(model) and not isinstance(condition, int):
        given = _given_source(model, guide, condition, seed, given)
    dims: dict[str, int] = {}
    if size > at_once or guide is not None:
        nodes = _nodes_of_one(model, condition, seed)
        given = _draws_of_globals(nodes, guide, condition, seed) | given
        if size > at_once:
            local = {n: nodes[n] for n in given if n in nodes and not is_global(nodes[n])}
            dims = {name: data_dim(node) for name, node in local.items()}
    for first in range(0, size, at_once):
        rows = slice(first, min(first + at_once, size))
        drawn = _draw(
            model,
            rows_of_condition(condition, rows),
            {name: rows_of_latent(value, dims.get(name), rows) for name, value in given.items()},
            method,
            seed_of(seed, "part", first) % 2**32 if first else seed,
            constraints or Constraints(),
        )
        if method.num_draws > 1:
            drawn = method.select(drawn.map(lambda part: part.unflatten(0, (-1, method.num_draws))))
        yield drawn


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
    constraints: Constraints,
) -> Generated:
    """Sentences of each row of the condition, side by side where the method returns several."""
    if not isinstance(condition, int):
        condition = to_device(condition, model)
    messenger = DecodingMessenger(decoding, constraints)
    with evaluation_mode(model, model, seed), equal_sources_read_once(model):
        with poutine.condition(data=dict(given)), messenger:
            nodes: Any = simulate(model, condition).nodes
        for name in (TEXT_SITE, *given):
            if name not in nodes:
                sites = ", ".join(n for n, node in nodes.items() if node["type"] == "sample")
                raise UserError(f"the model has no site {name!r}: its sites are {sites}")
        text = nodes[TEXT_SITE]
        decoded = messenger.result(text)
    dim = data_dim(text)
    of_row = dim + text["fn"].event_dim
    return Generated(
        without_masked(text, decoded.tokens).movedim(dim, 0).flatten(0, 1),
        decoded.log_prob.movedim(of_row, 0).flatten(0, 1),
        decoded.score.movedim(of_row, 0).flatten(0, 1),
    )


def _nodes_of_one(model: nn.Module, condition: Condition, seed: int) -> dict[str, Any]:
    """The sites of a draw of one sentence."""
    one = rows_of_condition(condition, slice(1))
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
