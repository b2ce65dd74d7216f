# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from the guide as it is."""

from __future__ import annotations

from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.posteriors import Posteriors
from pyro_textvae.evaluation.proposal import Proposal
from pyro_textvae.evaluation.sampling import MixtureSampler, Sampler
from pyro_textvae.evaluation.target import Target


class GuideProposal(Proposal):
    """The guide: what published numbers are made with.

    Source: Burda et al. (2016), Importance Weighted Autoencoders, equation 8.
    """

    def sampler(
        self,
        target: Target,
        posteriors: Posteriors,
        guide: Family,
        num_samples: int,
        *,
        quasi_random: bool,
    ) -> Sampler:
        """See :class:`Proposal`."""
        components = [(guide, num_samples)]
        return MixtureSampler(target, posteriors, components, guide, quasi_random=quasi_random)
