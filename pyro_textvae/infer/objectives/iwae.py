# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound."""

from __future__ import annotations

import math

from torch import Tensor

from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.terms import PerDatumTerms


class IWAE(PerDatumELBO):
    r"""The importance-weighted bound, for each sentence, in nats.

    .. math::
        \mathbb{E} \log \frac{1}{K} \sum_{k=1}^K w_k,
        \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z \mid x)

    Between the evidence lower bound (K = 1) and log p(x), and not below the bound of fewer
    particles. The gradient is the bound's own: its signal-to-noise ratio for the guide falls as
    1/sqrt(K) (Rainforth et al. 2018); DReG is the same bound with a better gradient.

    Where the guide enumerates a site y, the weight of a draw is a sum over its values, with a draw
    of z for each where the guide draws it so. q(y | x) is not in it, and not trained by it.

    .. math::
        w_k = \sum_y \frac{p(x, y, z_{ky})}{q(z_{ky} \mid x, y)}

    Source: Burda et al. (2016), equation 8, https://arxiv.org/abs/1509.00519.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.tensor([[-1.0], [-3.0]]), log_ratio={}, kl={}, scale=1.0
    ... )
    >>> IWAE(num_particles=2).bound(terms)  # log((exp(-1) + exp(-3)) / 2)
    tensor([-1.5662])
    """

    trains_enumerated_sites = False
    is_importance_weighted = True

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        return log_mean_exp(terms.log_weights)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """The logarithm of the mean of exp(``log_weights``) over the first dimension.

    >>> import torch
    >>> log_mean_exp(torch.tensor([[0.0, 2.0], [0.0, 2.0]]))
    tensor([0., 2.])
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))
