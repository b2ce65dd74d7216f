# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mean of the evidence lower bound and the importance-weighted one."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from pyro_textvae.infer.objectives.iwae import log_mean_exp
from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.terms import PerDatumTerms


class CIWAE(PerDatumELBO):
    """elbo_share ELBO + (1 - elbo_share) IWAE, for each sentence, on the same draws.

    Source: Rainforth et al. (2018), equation 11.

    :param elbo_share: beta, from 0 (IWAE) to 1 (ELBO).
    """

    def __init__(self, num_particles: int = 16, elbo_share: float = 0.5, **options: Any) -> None:
        super().__init__(num_particles, **options)
        if not (math.isfinite(elbo_share) and 0 <= elbo_share <= 1):
            raise ValueError(f"elbo_share must lie in [0, 1], got {elbo_share}")
        self.elbo_share = elbo_share

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        elbo = terms.log_weights.mean(0)
        return self.elbo_share * elbo + (1 - self.elbo_share) * log_mean_exp(terms.log_weights)
