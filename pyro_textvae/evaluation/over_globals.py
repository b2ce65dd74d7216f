# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Estimates of the likelihood averaged over the posterior of global latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.distributions.samples_of_network import sample_names
from pyro_textvae.evaluation.enumeration.summed_out import mean_of
from pyro_textvae.evaluation.importance.global_draws import GlobalDraws, log_mean_exp
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.batches import check_batches, check_text
from pyro_textvae.infer.enumeration.marks import MarkedSite
from pyro_textvae.infer.enumeration.read import read_enumerated_terms
from pyro_textvae.infer.forgotten_plate import check_are_global
from pyro_textvae.infer.given_globals import given_globals
from pyro_textvae.infer.global_latents import global_sites
from pyro_textvae.infer.plates import find_plates
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.terms import read_terms
from pyro_textvae.infer.traces import Draws, trace_pair
from pyro_textvae.infer.unread_samples import check_samples_are_sites

NUM_GLOBAL_DRAWS = 16
"""Draws of global latents unless another number is asked for."""


@dataclass(frozen=True)
class DrawOfGlobals:
    """One draw of all global latents from the guide.

    values
        By site, as the programs have them.
    kl
        KL(q, p) of each site, nats of the whole corpus.
    seed
        What the draw is made by, and what the draws of other latents are to be made by given it.
    """

    values: dict[str, Tensor]
    kl: dict[str, float]
    seed: int


def with_first(batches: Any) -> tuple[Any, Mapping[str, Tensor] | None]:
    """Batches, and the first of them; None where there is none.

    :raises UserError: for what are no batches.
    """
    check_batches(batches)
    if isinstance(batches, Sequence):
        return batches, batches[0] if batches else None
    rest = iter(batches)
    first = next(rest, None)
    return (() if first is None else chain([first], rest)), first


def draw_globals(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor] | None, seed: int, count: int
) -> list[DrawOfGlobals]:
    """``count`` draws of the global latents; none where there is no global latent.

    :param batch: what the programs are called with; which it is makes no difference.
    :raises ValueError: for a latent of sentences whose plate was forgotten, latent sites that model
        and guide do not share, and a ``PyroSample`` that is read by nothing.
    """
    if batch is None:
        return []
    check_text(batch)
    batch = to_device(batch, model)
    with evaluation_mode(model, guide, seed):
        trace = trace_guide(guide, **fields_of(guide, batch))
    names = [name for name, _ in global_sites(trace)]
    if not names and not any(sample_names(module) for module in model.modules()):
        return []
    draws = []
    for number in range(count):
        # Its own, so that the draws of the sentences' latents are independent between draws.
        own = seed_of(seed, "global", number) % 2**32 if number else seed
        with evaluation_mode(model, guide, own):
            traces, read = _traces(model, guide, batch)
            check_samples_are_sites(model, traces[0])
            if not names:
                return []
            check_are_global(model, guide, names, (), batch)
            kl = {site.name: site.kl.item() for site in read(*traces).global_sites}
        draws.append(DrawOfGlobals({name: traces[2][name] for name in names}, kl, own))
    return draws


def _traces(model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Any, Any]:
    """The traces of a pair and the guide's draws, and what reads them."""
    try:
        return trace_pair(model, guide, (), dict(batch), Draws.CONNECTED), read_terms
    except MarkedSite:
        first_dim = -1 - find_plates(model, guide, (), batch).nesting
        traces = trace_pair(model, guide, (), dict(batch), Draws.CONNECTED, first_dim)
        return traces, read_enumerated_terms


@contextmanager
def given_one_draw(model: nn.Module, guide: nn.Module, batches: Any, seed: int) -> Iterator[Any]:
    """Give both programs the first draw of their global latents, within a block.

    :returns: the batches, of which one was looked at.
    """
    batches, first = with_first(batches)
    draws = draw_globals(model, guide, first, seed, 1)
    with given_globals([model, guide], draws[0].values if draws else {}):
        yield batches


def mean_over_globals(
    draws: Sequence[DrawOfGlobals], parts: Sequence[LogLikelihood]
) -> LogLikelihood:
    """The estimates that are the mean of those given each of several draws of global latents."""
    first = parts[0]
    given = GlobalDraws(
        log_px=torch.stack([part.log_px for part in parts]),
        standard_error=torch.stack([part.standard_error for part in parts]),
        kl={n: sum(draw.kl[n] for draw in draws) / len(draws) for n in draws[0].kl},
        identities=tuple(part.identity for part in parts if part.identity is not None),
    )
    half = len(parts) // 2
    halves = torch.stack([log_mean_exp(given.log_px[:half]), log_mean_exp(given.log_px[half:])])

    def each(name: str) -> Tensor:
        return torch.stack([getattr(part, name) for part in parts])

    summed_out = [part.summed_out for part in parts if part.summed_out is not None]
    nothing = first.log_px.new_zeros((len(first.log_px), 0))
    names = ", ".join(map(repr, given.kl))
    return replace(
        first,
        log_px=given.mean,
        standard_error=given.error,
        ess=1 / (given.weights.square() / each("ess")).sum(0),
        smoothed=log_mean_exp(each("smoothed")),
        jackknife=log_mean_exp(each("jackknife")),
        error_freedom=torch.full_like(first.error_freedom, len(parts) - 1),
        khat=each("khat").amax(0),
        largest_weight=(given.weights * each("largest_weight")).amax(0),
        doubling=(given.weights * each("doubling")).sum(0),
        half_doubling=(given.weights * each("half_doubling")).sum(0),
        half_difference=halves[0] - halves[1],
        curve=nothing,
        curve_error=nothing,
        reconstruction=each("reconstruction").mean(0),
        kl=each("kl").mean(0),
        num_draws=each("num_draws").sum(0),
        decoder_evaluations=each("decoder_evaluations").sum(0),
        exact=False,
        identity=None,
        global_draws=given,
        summed_out=mean_of(summed_out) if summed_out else None,
        notes=(
            *dict.fromkeys(note for part in parts for note in part.notes),
            f"log p(x) is that of the mean of p(x | {names}) over {len(parts)} draws from the "
            "guide, which all sentences share; bound and kl are given these draws",
        ),
    )
