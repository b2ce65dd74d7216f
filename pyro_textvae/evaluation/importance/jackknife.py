# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The jackknife: an estimate of log p(x) without its bias of first order."""

from __future__ import annotations

import torch
from torch import Tensor


def jackknife(log_sums: Tensor, sizes: Tensor) -> Tensor:
    r"""Log of the mean weight, less its bias of order 1 / K; nats, ``(N,)``.

    .. math::
        G \log \hat p - \sum_{g=1}^G \left(1 - \frac{K_g}{K}\right) \log \hat p_{-g}

    with the mean :math:`\hat p` of K weights, :math:`\hat p_{-g}` without the K_g of part g.
    It has a larger variance than the plain estimate, and is no bound of log p(x). NaN for a single
    part.

    >>> halves = torch.tensor([[0.5], [1.5]])
    >>> jackknife(halves.log(), torch.ones(2, 1))
    tensor([0.1438])

    Source: Busing, Meijer and van der Leeden (1999), Delete-m jackknife for unequal m,
    https://doi.org/10.1023/A:1008800423698; Nowozin (2018), Debiasing evidence approximations,
    https://openreview.net/forum?id=HyZoi-WRb.

    :param log_sums: log of the sum of the weights of each of G independent parts, ``(G, N)``.
    :param sizes: numbers of weights in them, ``(G, 1)``.
    """
    number, total = len(log_sums), sizes.sum()
    if number < 2:
        return torch.full_like(log_sums[0], torch.nan)
    log_sum = log_sums.logsumexp(0)
    # A part that has all the weight leaves nothing that could be told from rounding.
    shares = (log_sums - log_sum).exp().clamp(max=1 - torch.finfo(log_sums.dtype).eps)
    without = log_sum + torch.log1p(-shares) - (total - sizes).log()
    return number * (log_sum - total.log()) - ((1 - sizes / total) * without).sum(0)
