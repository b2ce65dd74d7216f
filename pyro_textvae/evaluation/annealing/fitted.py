# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gaussians over all latents jointly, fitted to particles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.coordinates import Coordinates
from pyro_textvae.evaluation.annealing.curvature import closest_gaussian
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.population import Population
from pyro_textvae.evaluation.families import GaussianFamily
from pyro_textvae.evaluation.importance.components import Component
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.target import JointLogProb, Latents, Target


class FittedComponent(Component):
    """A Gaussian of full covariance over all latents, all of whose coordinates are real.

    :param like: latents ``(1, N, *event)``, for their shapes.
    :param gaussian: of the coordinates, ``(N, D)`` in one vector.
    """

    def __init__(self, coordinates: Coordinates, like: Latents, gaussian: GaussianFamily) -> None:
        self.coordinates = coordinates
        self.like = like
        self.gaussian = gaussian

    @classmethod
    def to(cls, population: Population, factor: float) -> FittedComponent:
        """The Gaussian closest to p(x, z) at weighted particles, its scale times ``factor``."""
        particles = population.particles
        loc, scale_tril = closest_gaussian(
            particles.z, particles.joint_gradient, population.log_weights
        )
        like = {name: value[:1] for name, value in particles.latents.items()}
        zero = torch.zeros_like(loc)
        gaussian = GaussianFamily(loc, factor * scale_tril, zero, zero)
        return cls(particles.coordinates, like, gaussian)

    def sample(self, count: int, seeds: Sequence[int]) -> dict[str, Tensor]:
        """See :class:`Component`."""
        like = {n: v.expand(count, *v.shape[1:]) for n, v in self.like.items()}
        noise = self.coordinates.normal(like, SentenceNoise(seeds))
        return self.coordinates.with_flat(like, self.gaussian.from_own_units(noise))

    def log_prob(self, latents: Latents, joint: JointLogProb) -> Tensor:
        """See :class:`Component`."""
        return self.gaussian.log_prob(self.coordinates.flat(latents))

    def rows(self, chosen: Tensor, target: Target, posteriors: GuideDraws) -> FittedComponent:
        """See :class:`Component`."""
        like = {name: value[:, chosen] for name, value in self.like.items()}
        return FittedComponent(self.coordinates, like, self.gaussian.rows(chosen))
