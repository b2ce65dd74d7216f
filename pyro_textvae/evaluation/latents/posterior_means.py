# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the posteriors of a split have their means, whatever the latents before them were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor, nn

from pyro_textvae.contract import PARTICLE_PLATE
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.plates import Plates
from pyro_textvae.infer.running import same_random_state
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import random_sites

_DRAWS_OF_MEAN = 100
_BLOCKS = 10
"""Of that many draws, where latents depend on each other: a unit is active above 0.01, and the
variance of a mean of 100 draws can be more than that."""


class PosteriorMeans(NamedTuple):
    """E[z | x] of the sentences of a batch, float64, ``(N, D)``.

    mean
        Of each dimension.
    spread
        The variance of the numbers that it is the mean of; 0 for a mean that is no estimate.
    num_draws
        How many they are.
    """

    mean: Tensor
    spread: Tensor
    num_draws: int = 1


def posterior_mean(fn: Any) -> Tensor:
    """Mean of a posterior; of 100 draws where it has no formula, as for a flow."""
    try:
        return fn.mean
    except NotImplementedError:
        return fn.sample((_DRAWS_OF_MEAN,)).mean(0)


def means_of(fn: Any) -> PosteriorMeans:
    """The means of posteriors that depend on the sentence alone, ``batch_shape`` of N elements."""
    count = fn.batch_shape.numel()
    try:
        mean = fn.mean.double().reshape(count, -1)
    except NotImplementedError:
        z = fn.sample((_DRAWS_OF_MEAN,)).double().reshape(_DRAWS_OF_MEAN, count, -1)
        return _averaged(z)
    return PosteriorMeans(mean, torch.zeros_like(mean))


def means_over_draws(
    guide: nn.Module, batch: Mapping[str, Tensor], plates: Plates, names: Sequence[str]
) -> dict[str, PosteriorMeans | None]:
    """The means of a batch's latents where one posterior may depend on the draw of another.

    The mean of the posteriors' means over 1000 draws of all latents before them. None for a site
    whose posterior is the same whatever was drawn: :func:`means_of` needs no draws for it.
    """
    drawn: dict[str, list[Tensor]] = {name: [] for name in names}
    with same_random_state():
        for _ in range(_BLOCKS):
            with pyro.plate(PARTICLE_PLATE, _DRAWS_OF_MEAN, dim=plates.particle_dim):
                trace = trace_guide(guide, **fields_of(guide, batch))
            sites = dict(random_sites(trace))
            for name, blocks in drawn.items():
                each = plates.datum_first(name, _mean_or_draw(sites[name])).double()
                blocks.append(each.reshape(*each.shape[:2], -1))
            drawn_from_others = {name: _differ(blocks[0]) for name, blocks in drawn.items()}
            if not any(drawn_from_others.values()):
                break
    return {
        name: _averaged(torch.cat(blocks)) if drawn_from_others[name] else None
        for name, blocks in drawn.items()
    }


def _mean_or_draw(site: Any) -> Tensor:
    try:
        return site["fn"].mean
    except NotImplementedError:
        return site["value"]


def _differ(draws: Tensor) -> bool:
    return not bool((draws == draws[:1]).all())


def _averaged(draws: Tensor) -> PosteriorMeans:
    """``(K, N, D)`` over the draws."""
    return PosteriorMeans(draws.mean(0), draws.var(0), len(draws))
