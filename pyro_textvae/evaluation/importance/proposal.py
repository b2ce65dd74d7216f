# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the draws of an importance-weighted likelihood come from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.importance.components import (
    Component,
    FamilyComponent,
    GuideComponent,
    PriorComponent,
    sites_without_prior_draws,
)
from pyro_textvae.evaluation.importance.joint_family import PosteriorFamily
from pyro_textvae.evaluation.importance.posteriors import GuideDraws, Posteriors
from pyro_textvae.evaluation.importance.rounds import DrawSettings, draw_rounds
from pyro_textvae.evaluation.importance.samplers import GuideSampler, MixtureSampler, Sampler
from pyro_textvae.evaluation.importance.target import JointLogProb, Latents, Target


@dataclass(frozen=True)
class ProposalTask:
    """What a proposal is made for.

    target, posteriors
        Of the sentences of a batch.
    guide
        The guide's posterior of each over all latents, or a Gaussian near it.
    num_samples
        Draws in a round for each.
    quasi_random
        Whether they come from a low-discrepancy sequence.
    guide_itself
        The guide's posterior where ``guide`` is only near it.
    """

    target: Target
    posteriors: GuideDraws
    guide: Family
    num_samples: int
    quasi_random: bool
    guide_itself: Component | None = None

    @classmethod
    def of(
        cls,
        target: Target,
        posteriors: Posteriors,
        num_samples: int,
        *,
        quasi_random: bool = False,
    ) -> ProposalTask | None:
        """The task for a guide whose posterior has a family, or is near a Gaussian.

        None for any other; see :class:`PosteriorFamily`.
        """
        found = PosteriorFamily.of(posteriors)
        if found is None:
            return None
        guide_itself = None if found.is_exact else found.guide
        return cls(target, posteriors, found.family, num_samples, quasi_random, guide_itself)

    def rows(self, chosen: Tensor) -> ProposalTask:
        """The task of some of the sentences, its decoder evaluations counted from zero."""
        target, posteriors = self.target.rows(chosen), self.posteriors.rows(chosen)
        return ProposalTask(
            target,
            posteriors,
            self.guide.rows(chosen),
            self.num_samples,
            self.quasi_random,
            self.guide_itself and self.guide_itself.rows(chosen, target, posteriors),
        )

    @cached_property
    def prior(self) -> Component | None:
        """The model's prior; None where nothing can be drawn from it."""
        return PriorComponent.of(self.target, self.posteriors)

    def mixture(
        self,
        components: Sequence[tuple[Family | Component, int]],
        *,
        made: tuple[Latents, JointLogProb] | None = None,
        purpose: str = "",
    ) -> MixtureSampler:
        """Draws from these distributions, a given number from each; see :class:`MixtureSampler`."""
        guide = self.component(self.guide)
        return MixtureSampler(
            self.target,
            self.posteriors,
            [
                (guide if part is self.guide else self.component(part), count)
                for part, count in components
            ],
            guide,
            made=made,
            purpose=purpose,
        )

    def defensive_mixture(
        self, best: Family | Component, guide_share: float, prior_share: float, purpose: str = ""
    ) -> MixtureSampler:
        """Draws from ``best``, and a share each from the guide and from the prior.

        With few draws a share is one draw, and ``best`` has one at least.
        """
        left = self.num_samples - 1
        from_guide = min(math.ceil(guide_share * self.num_samples), left)
        wanted = 0 if self.prior is None else math.ceil(prior_share * self.num_samples)
        from_prior = min(wanted, left - from_guide)
        components: list[tuple[Family | Component, int]] = [
            (best, self.num_samples - from_guide - from_prior),
            (self.guide, from_guide),
        ]
        if self.prior is not None:
            components.append((self.prior, from_prior))
        return self.mixture(components, purpose=purpose)

    def component(self, part: Family | Component) -> Component:
        """A member of a family as a distribution over all latents; of ``guide``, the guide."""
        if isinstance(part, Component):
            return part
        if part is self.guide and self.guide_itself is not None:
            return self.guide_itself
        return FamilyComponent(self.posteriors.vector, part, quasi_random=self.quasi_random)


class Proposal(ABC):
    """A distribution for each sentence to draw z from, made from the guide's posterior.

    The estimate of p(x) is unbiased whatever the proposal, as long as its density is known and its
    choice does not depend on the draws that are weighted with it. A better one has less error.
    """

    prior_share: float = 0.0
    """Share of the draws that come from the prior."""
    has_guide_beside: bool = False
    """Whether an evaluation shows the nll by the guide's weights beside its own."""

    @abstractmethod
    def sampler(self, task: ProposalTask) -> Sampler:
        """The sampler that draws for a batch."""

    def suits(self, posteriors: Posteriors | None) -> bool:
        """Whether it is made for latents of this kind, so that others are compared with it.

        :param posteriors: None where some of the latents are summed out.
        """
        return True

    def refuses(self, settings: DrawSettings) -> str | None:
        """What to say of settings that this proposal cannot follow; None where it can."""
        return None

    def require_gradients(self) -> None:
        """Refuse to go on where no gradient can be taken.

        :raises UserError: under ``torch.inference_mode()``.
        """
        if torch.is_inference_mode_enabled():
            raise UserError(
                f"the {self.name} proposal takes gradients, which torch.inference_mode() turns "
                "off: evaluate outside of it, or with another proposal"
            )

    @property
    def name(self) -> str:
        """The name it is asked for by: its file's in the catalogue, else its class's."""
        package, _, file = type(self).__module__.rpartition(".")
        return file if package == "pyro_textvae.evaluation.proposals" else type(self).__name__

    def describe(self) -> dict[str, Any]:
        """Name and settings, for a result file."""
        settings = {name: value for name, value in vars(self).items() if name[0] != "_"}
        return {"name": self.name, **settings}

    def start(
        self,
        target: Target,
        posteriors: Posteriors,
        num_samples: int,
        *,
        quasi_random: bool = False,
    ) -> Sampler:
        """The sampler for any guide: where its family is unknown, the guide and the prior."""
        task = ProposalTask.of(target, posteriors, num_samples, quasi_random=quasi_random)
        if task is None:
            return self.by_any_guide(target, posteriors, num_samples)
        return self.sampler(task)

    def by_any_guide(self, target: Target, posteriors: Posteriors, num_samples: int) -> Sampler:
        """Draws from the guide, whatever it is, and ``prior_share`` of them from the prior.

        From the guide alone where it cannot score draws of others, or the prior has none.
        """
        from_prior = min(round(self.prior_share * num_samples), num_samples - 1)
        guide = GuideComponent.of(posteriors) if from_prior else None
        prior = None if guide is None else PriorComponent.of(target, posteriors)
        if guide is None or prior is None:
            return GuideSampler(target, posteriors)
        components = [(guide, num_samples - from_prior), (prior, from_prior)]
        return MixtureSampler(target, posteriors, components, guide)

    def estimate(
        self, target: Target, posteriors: Posteriors, settings: DrawSettings
    ) -> dict[str, Tensor]:
        """The columns of a :class:`~pyro_textvae.evaluation.LogLikelihood` that draws tell of."""
        sampler = self.start(
            target, posteriors, settings.num_samples, quasi_random=settings.quasi_random
        )
        return draw_rounds(sampler, target, posteriors, settings)

    def falls_back(self, posteriors: Posteriors) -> str | None:
        """What to say when this proposal is not made from the guide's posterior itself."""
        found = PosteriorFamily.of(posteriors)
        if found is None:
            has_share = self.prior_share and not sites_without_prior_draws(posteriors)
            share = ", but for a share of the prior's" if has_share else ""
            return (
                f"the {self.name} proposal needs latents of real numbers or one with a spherical "
                "posterior, under a guide that scores any of their values, and the guide has "
                f"{posteriors.describe()}: the draws are the guide's own{share}"
            )
        if found.is_exact:
            return None
        return (
            f"the guide has {posteriors.describe()}, not one Gaussian over all latents: the "
            f"{self.name} proposal starts from the Gaussian with the mean and covariance of its "
            "draws"
        )

    def goes_without_prior(self, posteriors: Posteriors) -> str | None:
        """What to say when nothing can be drawn from the prior that this proposal draws from."""
        sites = sites_without_prior_draws(posteriors) if self.prior_share else []
        if not sites:
            return None
        names = ", ".join(map(repr, sites))
        return (
            f"nothing can be drawn from the prior of {names}, which has a density alone: the draws "
            f"of the {self.name} proposal are from the guide and from what is fitted to it, and no "
            "share of the prior's bounds their weights"
        )
