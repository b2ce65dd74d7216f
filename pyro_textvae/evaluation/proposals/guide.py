# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from the guide as it is."""

from __future__ import annotations

from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.samplers import Sampler


class GuideProposal(Proposal):
    """The guide: what published numbers are made with.

    Source: Burda et al. (2016), Importance Weighted Autoencoders, equation 8,
    https://arxiv.org/abs/1509.00519.
    """

    def sampler(self, task: ProposalTask) -> Sampler:
        """See :class:`Proposal`."""
        return task.mixture([(task.guide, task.num_samples)])
