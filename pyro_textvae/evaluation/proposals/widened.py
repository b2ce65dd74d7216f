# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from the guide with its scale enlarged."""

from __future__ import annotations

from pyro_textvae.evaluation.importance.proposal import Proposal, ProposalTask
from pyro_textvae.evaluation.importance.samplers import Sampler


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

    def sampler(self, task: ProposalTask) -> Sampler:
        """See :class:`Proposal`."""
        return task.mixture([(task.guide.widened(self.factor), task.num_samples)])
