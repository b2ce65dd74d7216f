# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound with discrete latents: score function, leave-one-out baseline."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.terms import PerDatumTerms


class VIMCO(IWAE):
    """The bound of IWAE, with a gradient for latents that have no reparameterisation.

    Each draw's score is weighted by the bound less what it would be if the draw's own weight were
    the geometric mean of the others'. Reparameterised latents beside them keep their gradient
    through the draw. Unbiased.

    Source: Mnih & Rezende (2016), equations 6 to 8.

    :param num_particles: at least 2, for the baseline.
    """

    takes_discrete_latents = True

    def __init__(self, num_particles: int = 8, **options: Any) -> None:
        super().__init__(num_particles, **options)
        if num_particles < 2:
            raise ValueError(
                f"num_particles must be at least 2 for a leave-one-out baseline, got "
                f"{num_particles}"
            )

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """The bound, and the scores of the discrete draws with their learning signals."""
        signal = _learning_signal(terms.log_weights.detach())
        scores = [
            sum(
                (site.log_posterior for site in sites if not site.is_reparameterised),
                torch.zeros_like(signal[:1]),
            )
            for sites in terms.passes
        ]
        log_guide = torch.cat([score.expand(-1, signal.shape[1]) for score in scores])
        return self.bound(terms) + (signal * log_guide).sum(0)


def _learning_signal(log_weights: Tensor) -> Tensor:
    """The bound less the bound with each weight replaced by the others' geometric mean."""
    count = len(log_weights)
    stand_in = (log_weights.sum(0) - log_weights) / (count - 1)
    own = torch.eye(count, dtype=torch.bool, device=log_weights.device).unsqueeze(-1)
    without = torch.where(own, stand_in, log_weights.unsqueeze(0))  # (K, K, N), one left out a row
    baseline = without.logsumexp(1) - math.log(count)
    return log_weights.logsumexp(0) - math.log(count) - baseline
