# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Moves of particles, of any latents, that leave a density of their path where it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.coordinates import Coordinates
from pyro_textvae.evaluation.annealing.hamiltonian import JITTER, trajectory
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.particles import DensityPath, Particles


class MoveSettings(NamedTuple):
    """What the moves of N sentences at one density depend on besides the particles.

    beta
        Which density, ``(N,)``.
    steps
        The step size of every move, ``(moves, N)``.
    units
        A matrix for each sentence that maps standard normals to the scale of the real coordinates,
        ``(N, D, D)``.
    """

    beta: Tensor
    steps: Tensor
    units: Tensor

    def rows(self, chosen: Tensor) -> MoveSettings:
        """Those of some of the sentences."""
        return MoveSettings(self.beta[chosen], self.steps[:, chosen], self.units[chosen])


class Move(ABC):
    """A Metropolis move, with a step size for each sentence."""

    first_step: float
    """The step size to try first."""
    wanted_acceptance: float | None
    """The mean probability of acceptance that the step size is to have; None without a step."""

    @abstractmethod
    def proposed(
        self,
        path: DensityPath,
        old: Particles,
        settings: MoveSettings,
        step: Tensor,
        noise: SentenceNoise,
    ) -> tuple[Particles, Tensor]:
        """Where each particle would go, and the probability to accept that ``(C, N)``."""

    def __call__(
        self,
        path: DensityPath,
        old: Particles,
        settings: MoveSettings,
        step: Tensor,
        noise: SentenceNoise,
    ) -> tuple[Particles, Tensor]:
        """The particles after the move, and the probabilities of acceptance ``(C, N)``."""
        new, probability = self.proposed(path, old, settings, step, noise)
        accepted = noise.uniform(len(probability), probability.device) < probability
        return old.replaced(new, accepted), probability


class HamiltonianMove(Move):
    """Hamiltonian Monte Carlo on all real coordinates of all sites together, others held.

    Source: Neal (2011), MCMC using Hamiltonian dynamics, https://arxiv.org/abs/1206.1901.
    """

    first_step = 0.8
    wanted_acceptance = 0.8

    def __init__(self, leapfrog_steps: int) -> None:
        self.leapfrog_steps = leapfrog_steps

    def proposed(
        self,
        path: DensityPath,
        old: Particles,
        settings: MoveSettings,
        step: Tensor,
        noise: SentenceNoise,
    ) -> tuple[Particles, Tensor]:
        """See :class:`Move`."""
        z = old.z
        low, high = JITTER
        jitter = low + (high - low) * noise.uniform(len(z), z.device)
        return trajectory(
            old,
            settings.beta,
            lambda flat: path.score(old.coordinates.with_flat(old.latents, flat)),
            momentum=old.coordinates.normal(old.latents, noise),
            size=(step * jitter).to(z.dtype).unsqueeze(-1),
            units=settings.units,
            leapfrog_steps=self.leapfrog_steps,
        )


class SphericalMove(Move):
    """A random walk on every sphere together: a normal step off it, and back to it.

    The density of the direction of z + step * normal depends on its angle to z alone, so the walk
    is symmetric.
    """

    first_step = 0.5
    wanted_acceptance = 0.35

    def proposed(
        self,
        path: DensityPath,
        old: Particles,
        settings: MoveSettings,
        step: Tensor,
        noise: SentenceNoise,
    ) -> tuple[Particles, Tensor]:
        """See :class:`Move`."""
        pieces = []
        for part in old.coordinates.spheres:
            value = part.of(old.latents)
            size = step.to(value.dtype).reshape(-1, *[1] * (value.dim() - 2))
            walked = value + size * noise.normal_like(value, part.inner)
            pieces.append((part, torch.nn.functional.normalize(walked, dim=-1)))
        new = path.score(old.coordinates.replaced(old.latents, iter(pieces)))
        return new, _probability(new.log_path(settings.beta) - old.log_path(settings.beta))


class IndependenceMove(Move):
    """New values of all latents from the start of the path, whatever they were.

    Source: Tierney (1994), Markov chains for exploring posterior distributions,
    https://doi.org/10.1214/aos/1176325750.
    """

    first_step = 1.0
    wanted_acceptance = None

    def proposed(
        self,
        path: DensityPath,
        old: Particles,
        settings: MoveSettings,
        step: Tensor,
        noise: SentenceNoise,
    ) -> tuple[Particles, Tensor]:
        """See :class:`Move`."""
        new = path.draw(len(old.log_start), noise)
        return new, _probability(settings.beta * (new.log_ratio - old.log_ratio))


def moves_of(coordinates: Coordinates, leapfrog_steps: int) -> list[Move]:
    """One move for each kind of coordinates that there are."""
    moves: list[Move] = []
    if coordinates.others:
        moves.append(IndependenceMove())
    if coordinates.spheres:
        moves.append(SphericalMove())
    if coordinates.reals:
        moves.append(HamiltonianMove(leapfrog_steps))
    return moves


def _probability(log_ratio: Tensor) -> Tensor:
    return log_ratio.clamp(max=0.0).exp().nan_to_num(0.0)
