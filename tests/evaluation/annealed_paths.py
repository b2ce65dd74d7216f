# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Annealing paths from a posterior that a test gives, without a fit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pyro_textvae.evaluation.annealing.coordinates import Coordinates
from pyro_textvae.evaluation.annealing.moves import moves_of
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.particles import DensityPath
from pyro_textvae.evaluation.annealing.path import AnnealingPath, AnnealingSettings
from pyro_textvae.evaluation.annealing.population import pilot
from pyro_textvae.evaluation.annealing.sampler import AnnealedSampler
from pyro_textvae.evaluation.importance.components import FamilyComponent, GuideComponent
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target


def density_path(model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor]) -> DensityPath:
    """From the guide's own posteriors to the joint."""
    posteriors = Posteriors(model.eval(), guide.eval(), batch, 0)
    target = Target(model, batch, max_tokens=10**6, plates=posteriors.plates)
    start = GuideComponent(posteriors)
    if posteriors.family is not None:
        start = FamilyComponent(posteriors.vector, posteriors.family)
    return DensityPath(target, posteriors, start, Coordinates.of(posteriors))


def annealing_path(
    path: DensityPath, settings: AnnealingSettings, *, seed: int = 0, advance=None
) -> AnnealingPath:
    """Chains along it, by the schedule that a pilot run finds."""
    with torch.no_grad():
        moves = moves_of(path.coordinates, settings.leapfrog_steps)
        noise = SentenceNoise(path.posteriors.seeds("pilot"))
        options = {"threshold": 0.7, "passes": 2, "moves_at_end": False}
        schedule, _ = pilot(path, moves, 32, noise, **options)
    seeds = [1000 * seed + place for place in range(len(path.posteriors.keys))]
    sampler = AnnealedSampler(path, moves, schedule, None)
    return AnnealingPath(sampler, settings, seeds=seeds, advance=advance)
