# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Particles on a path of densities from a distribution that is drawn from to the joint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.evaluation.annealing.coordinates import Coordinates
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.importance.components import Component
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.target import (
    JointLogProb,
    Latents,
    Target,
    gradients_of,
)


@dataclass(frozen=True)
class Particles:
    """C values of the latents of each of N sentences, and what is known of them.

    log_likelihood, log_prior, log_start
        log p(x | z), log p(z), and log r(z) of the distribution r that the path starts from;
        ``(C, N)`` float64.
    joint_gradient, start_gradient
        Gradients of log p(x, z) and of log r(z) in the real coordinates, ``(C, N, D)``.
    """

    coordinates: Coordinates
    latents: dict[str, Tensor]
    log_likelihood: Tensor
    log_prior: Tensor
    log_start: Tensor
    joint_gradient: Tensor
    start_gradient: Tensor

    @property
    def z(self) -> Tensor:
        """The real coordinates, ``(C, N, D)``."""
        return self.coordinates.flat(self.latents)

    @property
    def log_ratio(self) -> Tensor:
        """log p(x, z) - log r(z); where it is not a number, p(x, z) is zero."""
        return (self.log_likelihood + self.log_prior - self.log_start).nan_to_num(
            -torch.inf, posinf=torch.inf, neginf=-torch.inf
        )

    def log_path(self, beta: Tensor) -> Tensor:
        """log f_beta(z) = (1 - beta) log r(z) + beta log p(x, z), beta being ``(N,)``."""
        return self.log_start + beta * self.log_ratio

    def path_gradient(self, beta: Tensor) -> Tensor:
        """Gradient of ``log_path`` in the real coordinates."""
        share = beta.to(self.joint_gradient.dtype).unsqueeze(-1)
        return (1 - share) * self.start_gradient + share * self.joint_gradient

    def gathered(self, index: Tensor) -> Particles:
        """For each sentence the particles at these places, ``(C, N)``."""
        columns = torch.arange(index.shape[1], device=index.device)
        return self._map(lambda value: value[index, columns])

    @staticmethod
    def joined(parts: Sequence[Particles]) -> Particles:
        """The particles of several groups of sentences."""
        names = parts[0].latents
        return Particles(
            parts[0].coordinates,
            {name: torch.cat([part.latents[name] for part in parts], 1) for name in names},
            *(torch.cat(scores, 1) for scores in zip(*(p._scores() for p in parts), strict=True)),
        )

    def rows(self, chosen: Tensor) -> Particles:
        """Those of some of the sentences."""
        return self._map(lambda value: value[:, chosen])

    def replaced(self, other: Particles, chosen: Tensor) -> Particles:
        """The particles of ``other`` where ``chosen`` ``(C, N)``."""

        def pick(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(chosen.reshape(*chosen.shape, *[1] * (old.dim() - 2)), new, old)

        return Particles(
            self.coordinates,
            {name: pick(other.latents[name], value) for name, value in self.latents.items()},
            *(pick(*pair) for pair in zip(other._scores(), self._scores(), strict=True)),
        )

    def _map(self, function: Callable[[Tensor], Tensor]) -> Particles:
        return Particles(
            self.coordinates,
            {name: function(value) for name, value in self.latents.items()},
            *(function(value) for value in self._scores()),
        )

    def _scores(self) -> tuple[Tensor, ...]:
        return (
            self.log_likelihood,
            self.log_prior,
            self.log_start,
            self.joint_gradient,
            self.start_gradient,
        )


class DensityPath:
    """The densities f_beta(z) = r(z)^(1 - beta) p(x, z)^beta of some sentences.

    :param start: r, which is drawn from.
    """

    def __init__(
        self, target: Target, posteriors: GuideDraws, start: Component, coordinates: Coordinates
    ) -> None:
        self.target = target
        self.posteriors = posteriors
        self.start = start
        self.coordinates = coordinates

    def draw(self, count: int, noise: SentenceNoise, *, with_gradients: bool = True) -> Particles:
        """``count`` particles of each sentence from the start of the path."""
        return self.score(self.start.sample(count, noise.seeds()), with_gradients=with_gradients)

    def score(self, latents: Latents, *, with_gradients: bool = True) -> Particles:
        """What is to be known of any latents.

        :param with_gradients: in the real coordinates, where there are any; else they are zero.
        """
        names = self.coordinates.real_sites if with_gradients else []
        if not names:
            joint = self.target(latents)
            log_start = self.start.log_prob(latents, joint)
            of_joint = of_start = torch.zeros_like(self.coordinates.flat(latents))
        else:
            joint, of_likelihood, of_prior = self.target.gradients(latents, names)
            log_start, gradients = self._start(latents, joint, of_prior)
            of_joint = self.coordinates.flat(
                {name: of_likelihood[name] + of_prior[name] for name in names}
            )
            of_start = self.coordinates.flat(gradients)
        return Particles(
            self.coordinates,
            dict(latents),
            log_likelihood=joint.log_likelihood.double(),
            log_prior=joint.log_prior.double(),
            log_start=log_start.double(),
            joint_gradient=of_joint,
            start_gradient=of_start,
        )

    def rows(self, chosen: Tensor) -> DensityPath:
        """The path of some of the sentences; its evaluations are counted in this one's."""
        target, posteriors = self.target.part(chosen), self.posteriors.rows(chosen)
        return DensityPath(
            target, posteriors, self.start.rows(chosen, target, posteriors), self.coordinates
        )

    def _start(
        self, latents: Latents, joint: JointLogProb, of_prior: Latents
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """log r(z), and its gradient in the sites with real coordinates."""
        with torch.enable_grad():
            leaves = {name: latents[name].detach().requires_grad_() for name in of_prior}
            # The first-order expansion of the prior at z, for a start that contains it.
            log_prior = joint.log_prior
            for name, leaf in leaves.items():
                change = (leaf - leaf.detach()) * of_prior[name]
                log_prior = log_prior + (change.flatten(2).sum(2) if change.dim() > 2 else change)
            log_start = self.start.log_prob(
                {**latents, **leaves}, JointLogProb(joint.log_likelihood, log_prior)
            )
            gradients = gradients_of(log_start, leaves)
        return log_start.detach(), gradients
