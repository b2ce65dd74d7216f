# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from the guide as it is."""

from __future__ import annotations

from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.samplers import GuideSampler, Sampler
from pyro_textvae.evaluation.importance.target import Target


class GuideProposal(Proposal):
    """The guide: what published numbers are made with.

    Source: Burda et al. (2016), Importance Weighted Autoencoders, equation 8,
    https://arxiv.org/abs/1509.00519.
    """

    def sampler(self, task: ProposalTask) -> Sampler:
        """See :class:`Proposal`."""
        return task.mixture([(task.guide, task.num_samples)])

    def start(
        self,
        target: Target,
        posteriors: Posteriors,
        num_samples: int,
        *,
        quasi_random: bool = False,
    ) -> Sampler:
        """The sampler for any guide, which is run where it has no one latent of a known family."""
        if posteriors.family is None:
            return GuideSampler(target, posteriors)
        return super().start(target, posteriors, num_samples, quasi_random=quasi_random)

    def falls_back(self, posteriors: Posteriors) -> str | None:
        """None: these are the guide's own draws, whatever it is."""
        return None
