# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws that a proposal is fitted to, and that no estimate is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.importance.components import Component
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.target import JointLogProb, Latents, Target


class PilotDraws:
    """Draws from several distributions, all weighted by the density of the mixture of them all.

    Rounds are added one after the other, each from what was fitted to those before.

    Source: Cappe et al. (2004), Population Monte Carlo, https://doi.org/10.1198/106186004X12803.
    """

    def __init__(self, target: Target, posteriors: GuideDraws) -> None:
        self.target = target
        self.posteriors = posteriors
        self.components: list[tuple[Component, int]] = []
        self._latents: list[Latents] = []
        self._joints: list[JointLogProb] = []

    def add(self, components: Sequence[tuple[Component, int]]) -> None:
        """Draw a number from each of some distributions, and score the draws."""
        for component, count in components:
            if count < 1:
                continue
            seeds = self.posteriors.seeds("pilot", len(self.components))
            latents = component.sample(count, seeds)
            self.components.append((component, count))
            self._latents.append(latents)
            self._joints.append(self.target(latents))

    @property
    def latents(self) -> dict[str, Tensor]:
        """All draws, ``(K, N, *inner, *event)``."""
        return {
            name: torch.cat([part[name] for part in self._latents]) for name in self._latents[0]
        }

    @property
    def joint(self) -> JointLogProb:
        """What the model says of all draws, ``(K, N)``."""
        return JointLogProb(*(torch.cat(column) for column in zip(*self._joints, strict=True)))

    def log_weights(self) -> Tensor:
        """log p(x, z) less the log-density of the mixture of all rounds, ``(K, N)``."""
        latents, joint = self.latents, self.joint
        total = sum(count for _, count in self.components)
        log_density = torch.stack(
            [
                math.log(count / total) + component.log_prob(latents, joint)
                for component, count in self.components
            ]
        ).logsumexp(0)
        return joint.total - log_density

    def rows(self, target: Target, posteriors: GuideDraws, chosen: Tensor) -> PilotDraws:
        """Those of some of the sentences."""
        part = PilotDraws(target, posteriors)
        part.components = [
            (component.rows(chosen, target, posteriors), count)
            for component, count in self.components
        ]
        part._latents = [
            {name: value[:, chosen] for name, value in latents.items()} for latents in self._latents
        ]
        part._joints = [JointLogProb(*(value[:, chosen] for value in j)) for j in self._joints]
        return part


@dataclass(frozen=True)
class PilotFit:
    """What pilot draws say of the sentences of a batch.

    refined
        The guide's posterior after refinement.
    best
        The fit to all pilot draws.
    pilot
        Those draws.
    """

    refined: Family
    best: Family
    pilot: PilotDraws
