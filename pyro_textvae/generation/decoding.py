# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences decoded from latents of other sentences: their own, and those between two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.contract import TOKENS
from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.distributions.sphere import great_circle, lies_on_sphere
from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.documents import (
    numbers_between,
    of_both_ends,
    said_by_text,
    with_every_place,
)
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.latent_space.aggregate_moments import AggregateMoments
from pyro_textvae.generation.method import DecodingMethod, build_method
from pyro_textvae.generation.posteriors import is_discrete, posterior_point, posterior_sites
from pyro_textvae.generation.rows import data_dim, repeated_condition
from pyro_textvae.generation.sampling import generate, generate_rows
from pyro_textvae.infer.batches import check_batch, check_text
from pyro_textvae.infer.running import device_of, evaluation_mode
from pyro_textvae.infer.simulate import size_of
from pyro_textvae.special_tokens import PAD


def encode(
    guide: nn.Module, batch: Mapping[str, Tensor], *, mean: bool = True, seed: int = 0
) -> dict[str, Tensor]:
    """Latents of the sentences of a batch: posterior means, see :func:`posterior_point`, or draws.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.nn import LSTMEncoder
    >>> guide = GaussianGuide(LSTMEncoder(vocab_size=9, embedding_dim=4, hidden_dim=5), 2)
    >>> encode(guide, {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])})["z"].shape
    torch.Size([2, 2])

    :param batch: fields with the datum first; the guide gets those that its ``forward`` names.
    :param mean: False for a draw from each posterior.
    :returns: by latent site, ``(N, ...)``; without global latents, of whose draw they are given.
    :raises UserError: when the guide has no latent, or needs a field that the batch does not have.
    """
    return _encode(guide, batch, mean=mean, seed=seed)[0]


def _encode(
    guide: nn.Module, batch: Mapping[str, Tensor], *, mean: bool, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Latents of the sentences, and the draw of the global ones that they are given."""
    with evaluation_mode(guide, guide, seed):
        sites, shared = posterior_sites(guide, batch, mean=mean)
        latents = {n: posterior_point(site["fn"]) if mean else site["value"] for n, site in sites}
    return latents, shared


def reconstruct(
    model: nn.Module,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    changed: Mapping[str, Tensor] | None = None,
    method: str | DecodingMethod = "greedy",
    seed: int = 0,
    unknown: bool = True,
) -> Tensor:
    """Decode each sentence again from its latent, ids ``(N, max_length)``.

    With a method that does not draw, such as ``"greedy"``, the latent is the
    :func:`posterior_point`; with one that does, such as ``"ancestral"``, a draw. A model that is
    conditioned on further fields of the batch gets them too. Global latents are drawn once, from
    the guide.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> reconstruct(model, guide, {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}).shape
    torch.Size([2, 7])

    :param batch: sentences ``tokens`` ``(N, T)``, and whatever model and guide need besides.
    :param changed: fields to decode with in the place of the batch's own, which the latents are
        still inferred with: ``labels``, so that the same z is said with another label.
    :param method, unknown: as in :func:`sample`.
    :raises UserError: as :func:`encode` and :func:`sample`.
    """
    check_argument("unknown", unknown, bool)
    constraints = Constraints(unknown=unknown)
    return generate_reconstructions(
        model,
        guide,
        batch,
        changed=changed,
        method=method,
        seed=seed,
        constraints=constraints,
    ).tokens


def generate_reconstructions(
    model: nn.Module,
    guide: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    changed: Mapping[str, Tensor] | None = None,
    method: str | DecodingMethod = "greedy",
    seed: int = 0,
    constraints: Constraints | None = None,
    num_latents: int = 1,
) -> Generated:
    """The sentences of :func:`reconstruct`, each with its log-probability.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> batch = {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}
    >>> generate_reconstructions(model, guide, batch, num_latents=3).log_prob.shape
    torch.Size([6])

    :param num_latents: sentences for each, every one at a draw from its posterior. With one, a
        method that does not draw is given the :func:`posterior_point`.
    :param others: as in :func:`reconstruct` and :func:`generate`.
    :raises UserError: as :func:`encode` and :func:`generate`.
    """
    decoding = build_method(method)
    num_latents = check_argument("num_latents", num_latents, int, at_least(1))
    copies = num_latents * decoding.num_draws
    check_text(batch)
    rows: Any = repeated_condition(with_every_place(model, batch), copies)
    mean = num_latents == 1 and not decoding.is_random
    latents, shared = _encode(guide, rows, mean=mean, seed=seed)
    latents |= said_by_text(model, rows)
    if changed is not None:
        rows = repeated_condition({**batch, **changed}, copies)
    parts = generate_rows(
        model,
        rows,
        copies=copies,
        method=decoding,
        seed=seed,
        constraints=constraints,
        latents=latents | shared,
    )
    return Generated.cat(list(parts))


def interpolate(
    model: nn.Module,
    guide: nn.Module,
    ends: Mapping[str, Tensor],
    *,
    condition: Mapping[str, Tensor] | None = None,
    steps: int = 7,
    method: str | DecodingMethod = "greedy",
    seed: int = 0,
    unknown: bool = True,
) -> Tensor:
    """Decode along the line between the latents of two sentences: on a sphere, the shorter arc.

    A model that is conditioned on further fields, such as ``source``, is given those of the first
    end at every step, so that only the latent moves; ``condition`` gives it others.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> ends = {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}
    >>> interpolate(model, guide, ends, steps=5).shape
    torch.Size([5, 7])

    :param ends: a batch of two sentences, each with what it is conditioned on.
    :param condition: what the steps are conditioned on: a batch of one row for all of them, or of
        ``steps`` rows.
    :param steps: points on the line, both ends counted.
    :param method, unknown: as in :func:`sample`.
    :returns: ids ``(steps, max_length)``.
    :raises ValueError: for fewer than two steps, another number of sentences than two, or a
        condition of another number of rows.
    :raises UserError: as :func:`encode` and :func:`sample`.
    """
    check_argument("unknown", unknown, bool)
    return generate_interpolation(
        model,
        guide,
        ends,
        condition=condition,
        steps=steps,
        method=method,
        seed=seed,
        constraints=Constraints(unknown=unknown),
    ).tokens


def generate_interpolation(
    model: nn.Module,
    guide: nn.Module,
    ends: Mapping[str, Tensor],
    *,
    condition: Mapping[str, Tensor] | None = None,
    steps: int = 7,
    method: str | DecodingMethod = "greedy",
    seed: int = 0,
    constraints: Constraints | None = None,
    aggregate: Mapping[str, AggregateMoments] | None = None,
) -> Generated:
    """The sentences of :func:`interpolate`, each with its log-probability.

    :param ends, condition, steps: as in :func:`interpolate`.
    :param aggregate: moments of every latent over a corpus, whose
        :meth:`~pyro_textvae.generation.latent_space.AggregateMoments.way` is then taken in the
        place of the line.
    :param others: as in :func:`generate`.
    :returns: those of one step side by side.
    :raises ValueError: as :func:`interpolate`.
    :raises UserError: as :func:`encode` and :func:`generate`.
    """
    steps = check_argument("steps", steps, int, at_least(2))
    check_text(ends)
    if condition is None:
        condition = {name: value[:1] for name, value in ends.items()}
    check_batch(condition)
    if size_of(condition) not in (1, steps):
        raise ValueError(
            f"the condition must have 1 row or {steps}, one for each step, got {size_of(condition)}"
        )
    ends = with_every_place(model, ends)
    line = latents_between(guide, ends, steps=steps, seed=seed, aggregate=aggregate)
    line |= numbers_between(model, ends, torch.linspace(0.0, 1.0, steps, device=device_of(model)))
    repeated = {name: value.expand(steps, *value.shape[1:]) for name, value in condition.items()}
    return generate(
        model, repeated, method=method, seed=seed, constraints=constraints, latents=line
    )


def latents_between(
    guide: nn.Module,
    ends: Mapping[str, Tensor],
    *,
    steps: int = 7,
    seed: int = 0,
    aggregate: Mapping[str, AggregateMoments] | None = None,
) -> dict[str, Tensor]:
    """The latents that :func:`generate_interpolation` decodes, by site, global ones too.

    Of a sentence that only one of two documents has the latent is the same at every step.

    :param others: as in :func:`generate_interpolation`.
    :raises ValueError: for fewer than two steps, or another number of sentences than two.
    :raises UserError: as :func:`encode`.
    """
    steps = check_argument("steps", steps, int, at_least(2))
    check_text(ends)
    if len(ends[TOKENS]) != 2:
        raise ValueError(f"interpolation needs two sentences, got {len(ends[TOKENS])}")
    share = torch.linspace(0.0, 1.0, steps, device=device_of(guide))
    with evaluation_mode(guide, guide, seed):
        sites, shared = posterior_sites(guide, ends, mean=True)
        there = _sentences_of(ends).to(share.device)
        return {
            name: _line(site["fn"], share, data_dim(site), there)
            if aggregate is None
            else _way(name, aggregate, site["fn"], share, data_dim(site), there)
            for name, site in sites
        } | shared


def _sentences_of(ends: Mapping[str, Tensor]) -> Tensor:
    """Which sentences each of two texts has, ``(2, S)``; one where they are no documents."""
    tokens = ends[TOKENS]
    return (tokens.flatten(2) != PAD).any(-1) if tokens.dim() == 3 else tokens[:, :1] != PAD


def _way(
    name: str,
    aggregate: Mapping[str, AggregateMoments],
    fn: Any,
    share: Tensor,
    dim: int,
    there: Tensor,
) -> Tensor:
    if name not in aggregate:
        raise UserError(f"aggregate has no moments of the latent {name!r}: give those of every one")
    start, end = of_both_ends(posterior_point(fn), there, dim)
    return aggregate[name].way(start, end, share).movedim(0, dim)


def _line(fn: Any, share: Tensor, dim: int, there: Tensor) -> Tensor:
    """Points between two posteriors, with ``len(share)`` of them where ``dim`` had the two."""
    if isinstance(fn, IndependentBlocks):
        return torch.cat([_line(block, share, dim, there) for block in fn.blocks], -1)
    start, end = of_both_ends(posterior_point(fn), there, dim)
    if lies_on_sphere(fn):
        return great_circle(start, end, share).movedim(0, dim)
    if is_discrete(fn):
        return torch.stack([start if weight < 0.5 else end for weight in share], dim)
    return torch.stack([torch.lerp(start, end, weight) for weight in share], dim)
