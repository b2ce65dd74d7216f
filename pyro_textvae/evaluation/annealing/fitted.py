# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gaussians over all latents jointly, fitted to particles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.coordinates import Coordinates
from pyro_textvae.evaluation.annealing.curvature import closest_gaussian
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.population import Population
from pyro_textvae.evaluation.importance.components import Component
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.target import JointLogProb, Latents, Target


class FittedComponent(Component):
    """A Gaussian of full covariance over all latents, all of whose coordinates are real.

    :param like: latents ``(1, N, *event)``, for their shapes.
    :param loc: ``(N, D)``.
    :param scale_tril: ``(N, D, D)``.
    """

    def __init__(
        self, coordinates: Coordinates, like: Latents, loc: Tensor, scale_tril: Tensor
    ) -> None:
        self.coordinates = coordinates
        self.like = like
        self.loc = loc
        self.scale_tril = scale_tril

    @classmethod
    def to(cls, population: Population, factor: float) -> FittedComponent:
        """The Gaussian closest to p(x, z) at weighted particles, its scale times ``factor``."""
        particles = population.particles
        loc, scale_tril = closest_gaussian(
            particles.z, particles.joint_gradient, population.log_weights
        )
        like = {name: value[:1] for name, value in particles.latents.items()}
        return cls(particles.coordinates, like, loc, factor * scale_tril)

    def sample(self, count: int, seeds: Sequence[int]) -> dict[str, Tensor]:
        """See :class:`Component`."""
        like = {n: v.expand(count, *v.shape[1:]) for n, v in self.like.items()}
        noise = self.coordinates.normal(like, SentenceNoise(seeds))
        flat = self.loc + torch.einsum("nij,knj->kni", self.scale_tril, noise)
        return self.coordinates.with_flat(like, flat)

    def log_prob(self, latents: Latents, joint: JointLogProb) -> Tensor:
        """See :class:`Component`."""
        shifted = self.coordinates.flat(latents) - self.loc
        columns = torch.linalg.solve_triangular(
            self.scale_tril, shifted.permute(1, 2, 0), upper=False
        )
        log_volume = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = 0.5 * math.log(2 * math.pi) * shifted.shape[-1]
        return -0.5 * columns.square().sum(1).T - log_volume - constant

    def rows(self, chosen: Tensor, target: Target, posteriors: GuideDraws) -> FittedComponent:
        """See :class:`Component`."""
        like = {name: value[:, chosen] for name, value in self.like.items()}
        return FittedComponent(self.coordinates, like, self.loc[chosen], self.scale_tril[chosen])
