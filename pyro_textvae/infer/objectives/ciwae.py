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
    r"""A mean of the evidence lower bound and of the importance-weighted one, on the same draws.

    .. math::
        \beta \, \frac{1}{K} \sum_k \log w_k + (1 - \beta) \log \frac{1}{K} \sum_k w_k,
        \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}

    Nats for each sentence. Where the guide enumerates a site, the first term is the evidence lower
    bound with its mean under q(y | x), and the second the sum of :class:`IWAE`: between them again.

    Source: Rainforth et al. (2018), equation 11, https://arxiv.org/abs/1802.04537.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.tensor([[-1.0], [-3.0]]), log_ratio={}, kl={}, scale=1.0
    ... )
    >>> CIWAE(num_particles=2, elbo_share=1.0).bound(terms)
    tensor([-2.])
    >>> CIWAE(num_particles=2, elbo_share=0.0).bound(terms)
    tensor([-1.5662])

    :param elbo_share: beta, from 0 (IWAE) to 1 (ELBO).
    :raises ValueError: for a share outside ``[0, 1]``.
    """

    is_importance_weighted = True

    def __init__(self, num_particles: int = 16, elbo_share: float = 0.5, **options: Any) -> None:
        super().__init__(num_particles, **options)
        if not (math.isfinite(elbo_share) and 0 <= elbo_share <= 1):
            raise ValueError(f"elbo_share must lie in [0, 1], got {elbo_share}")
        self.elbo_share = elbo_share

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        elbo = terms.mean_log_weights.mean(0)
        return self.elbo_share * elbo + (1 - self.elbo_share) * log_mean_exp(terms.log_weights)
