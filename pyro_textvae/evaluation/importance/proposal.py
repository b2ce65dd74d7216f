# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the draws of an importance-weighted likelihood come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.samplers import GuideSampler, MixtureSampler, Sampler
from pyro_textvae.evaluation.importance.target import JointLogProb, Target


@dataclass(frozen=True)
class ProposalTask:
    """What a proposal is made for.

    target, posteriors
        Of the sentences of a batch.
    guide
        The guide's posterior of each.
    num_samples
        Draws in a round for each.
    quasi_random
        Whether they come from a low-discrepancy sequence.
    """

    target: Target
    posteriors: Posteriors
    guide: Family
    num_samples: int
    quasi_random: bool

    def mixture(
        self,
        components: Sequence[tuple[Family, int]],
        *,
        made: tuple[Tensor, JointLogProb] | None = None,
        purpose: str = "",
    ) -> MixtureSampler:
        """Draws from these distributions, a given number from each; see :class:`MixtureSampler`."""
        return MixtureSampler(
            self.target,
            self.posteriors,
            components,
            self.guide,
            quasi_random=self.quasi_random,
            made=made,
            purpose=purpose,
        )


class Proposal(ABC):
    """A distribution for each sentence to draw z from, made from the guide's posterior.

    The estimate of p(x) is unbiased whatever the proposal, as long as its density is known and its
    choice does not depend on the draws that are weighted with it. A better one has less error.
    """

    @abstractmethod
    def sampler(self, task: ProposalTask) -> Sampler:
        """The sampler that draws for a batch."""

    @property
    def name(self) -> str:
        """The name it is asked for by: its file's in the catalogue, else its class's."""
        package, _, file = type(self).__module__.rpartition(".")
        return file if package == "pyro_textvae.evaluation.proposals" else type(self).__name__

    def describe(self) -> dict[str, Any]:
        """Name and settings, for a result file."""
        return {"name": self.name, **vars(self)}

    def start(
        self,
        target: Target,
        posteriors: Posteriors,
        num_samples: int,
        *,
        quasi_random: bool = False,
    ) -> Sampler:
        """The sampler for any guide: where its family is unknown, the guide itself."""
        if posteriors.family is None:
            return GuideSampler(target, posteriors)
        return self.sampler(
            ProposalTask(target, posteriors, posteriors.family, num_samples, quasi_random)
        )

    def falls_back(self, posteriors: Posteriors) -> str | None:
        """What to say when the guide's own draws take the place of this proposal's."""
        if posteriors.family is not None or self.name == "guide":
            return None
        return (
            f"the {self.name} proposal needs one latent with a Gaussian or spherical posterior, "
            f"and the guide has {posteriors.describe()}: the draws are the guide's own"
        )
