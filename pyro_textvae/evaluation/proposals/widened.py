# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from the guide with its scale enlarged."""

from __future__ import annotations

from pyro_textvae.evaluation.families import Family
from pyro_textvae.evaluation.posteriors import Posteriors
from pyro_textvae.evaluation.proposal import Proposal
from pyro_textvae.evaluation.sampling import MixtureSampler, Sampler
from pyro_textvae.evaluation.target import Target


class WidenedProposal(Proposal):
    """The guide with its scale multiplied by ``factor``: no further decoder evaluations.

    A guide that is trained on a bound is too narrow, and too narrow is ruinous for the weights
    where too wide is cheap.

    :raises ValueError: for a factor that is not positive and finite.
    """

    def __init__(self, factor: float = 1.15) -> None:
        if not 0 < factor < float("inf"):
            raise ValueError(f"factor must be positive and finite, got {factor}")
        self.factor = factor

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
        components = [(guide.widened(self.factor), num_samples)]
        return MixtureSampler(target, posteriors, components, guide, quasi_random=quasi_random)
