# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound."""

from __future__ import annotations

import math

from torch import Tensor

from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.terms import PerDatumTerms


class IWAE(PerDatumELBO):
    """E log (1/K) sum_k p(x, z_k) / q(z_k | x), for each sentence, in nats.

    Between the evidence lower bound (K = 1) and log p(x), and not below the bound of fewer
    particles. The gradient is the bound's own: its signal-to-noise ratio for the guide falls as
    1/sqrt(K) (Rainforth et al. 2018); DReG is the same bound with a better gradient.

    Source: Burda et al. (2016), equation 8.
    """

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        return log_mean_exp(terms.log_weights)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """Over the first dimension."""
    return log_weights.logsumexp(0) - math.log(len(log_weights))
