# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Proposals for importance-weighted likelihoods, one a file."""

from pyro_textvae.evaluation.proposals.adaptive import AdaptiveProposal
from pyro_textvae.evaluation.proposals.annealed import AnnealedProposal
from pyro_textvae.evaluation.proposals.auto import AutoProposal
from pyro_textvae.evaluation.proposals.guide import GuideProposal
from pyro_textvae.evaluation.proposals.mixture import MixtureProposal
from pyro_textvae.evaluation.proposals.refined import RefinedProposal
from pyro_textvae.evaluation.proposals.sequential import SequentialProposal
from pyro_textvae.evaluation.proposals.widened import WidenedProposal

__all__ = [
    "AdaptiveProposal",
    "AnnealedProposal",
    "AutoProposal",
    "GuideProposal",
    "MixtureProposal",
    "RefinedProposal",
    "SequentialProposal",
    "WidenedProposal",
]
