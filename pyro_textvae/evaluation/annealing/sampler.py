# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Populations of annealed particles as the draws of a likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.moves import Move
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.particles import DensityPath, Particles
from pyro_textvae.evaluation.annealing.population import Schedule, run_population
from pyro_textvae.evaluation.importance.components import Component
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.running_weights import Scored
from pyro_textvae.evaluation.importance.samplers import Block, Sampler
from pyro_textvae.evaluation.importance.target import JointLogProb, Target


class AnnealedSampler(Sampler):
    """Each block of draws is one population, which depend on one another through resampling.

    :param guide: scores what is averaged under the guide; None where it cannot be scored.
    """

    independent = False

    def __init__(
        self,
        path: DensityPath,
        moves: Sequence[Move],
        schedule: Schedule,
        guide: Component | None,
    ) -> None:
        self.path = path
        self.moves = moves
        self.schedule = schedule
        self.guide = guide

    def scored(self, block: Block) -> Scored:
        """See :class:`Sampler`."""
        seeds = self.path.posteriors.seeds("annealed", block.round, block.start)
        noise = SentenceNoise(seeds)
        count = block.stop - block.start
        population = run_population(self.path, self.moves, self.schedule, count, noise)
        # Parts of a block are like the whole only in an order that says nothing.
        order = noise.uniform(count, population.log_weights.device).argsort(0)
        particles = population.particles.gathered(order)
        log_weights = population.log_weights.gather(0, order)
        total = particles.log_likelihood + particles.log_prior
        return Scored(
            particles.log_likelihood,
            particles.log_prior,
            total - log_weights,
            self._log_guide(particles),
        )

    def rows(self, target: Target, posteriors: GuideDraws, chosen: Tensor) -> AnnealedSampler:
        """See :class:`Sampler`."""
        start = self.path.start.rows(chosen, target, posteriors)
        return AnnealedSampler(
            DensityPath(target, posteriors, start, self.path.coordinates),
            self.moves,
            self.schedule.rows(chosen),
            self.guide and self.guide.rows(chosen, target, posteriors),
        )

    def _log_guide(self, particles: Particles) -> Tensor:
        if self.guide is None:
            return torch.full_like(particles.log_prior, -torch.inf)
        joint = JointLogProb(particles.log_likelihood, particles.log_prior)
        return self.guide.log_prob(particles.latents, joint).double()
