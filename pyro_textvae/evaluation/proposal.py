# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the draws of an importance-weighted likelihood come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.posteriors import Posteriors
from pyro_textvae.evaluation.sampling import GuideSampler, Sampler
from pyro_textvae.evaluation.target import Target


class Proposal(ABC):
    """A distribution for each sentence to draw z from, made from the guide's posterior.

    The estimate of p(x) is unbiased whatever the proposal, as long as its density is known and its
    choice does not depend on the draws that are weighted with it. A better one has less error.
    """

    @abstractmethod
    def sampler(
        self,
        target: Target,
        posteriors: Posteriors,
        guide: Family,
        num_samples: int,
        *,
        quasi_random: bool,
    ) -> Sampler:
        """What makes the draws of a batch.

        :param guide: the guide's posterior.
        :param num_samples: draws in a round for each sentence.
        """

    @property
    def name(self) -> str:
        """The name it is asked for by."""
        return type(self).__module__.rpartition(".")[2]

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
            target, posteriors, posteriors.family, num_samples, quasi_random=quasi_random
        )

    def falls_back(self, posteriors: Posteriors) -> str | None:
        """What to say when the guide's own draws take the place of this proposal's."""
        if posteriors.family is not None or self.name == "guide":
            return None
        return (
            f"the {self.name} proposal needs one latent with a Gaussian or spherical posterior, "
            f"and the guide has {posteriors.describe()}: the draws are the guide's own"
        )
