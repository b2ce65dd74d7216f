# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which particles go on where few of them have all the weight."""

from __future__ import annotations

import torch
from torch import Tensor


def number_that_counts(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2, ``(N,)``; the number of draws where no weight is above zero.

    >>> number_that_counts(torch.tensor([[0.0], [0.0], [-torch.inf]]))
    tensor([2.])

    :param log_weights: ``(K, N)``.
    """
    number = (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()
    return number.nan_to_num(float(len(log_weights)))


def systematic_ancestors(log_weights: Tensor, offset: Tensor) -> Tensor:
    """The place of the particle that each place goes on from, by systematic resampling.

    Each particle has as many places as its share of the weights says, rounded at random: in
    expectation no more and no less.

    Source: Kitagawa (1996), Monte Carlo filter and smoother for non-Gaussian nonlinear state space
    models, https://doi.org/10.1080/10618600.1996.10474692.

    >>> log_weights = torch.tensor([[0.5], [0.25], [0.25], [0.0]]).log()
    >>> systematic_ancestors(log_weights, torch.tensor([[0.5]])).squeeze(1).tolist()
    [0, 0, 1, 2]

    :param log_weights: of K particles for each of N, ``(K, N)``.
    :param offset: uniform on [0, 1), ``(1, N)``.
    :returns: ``(K, N)``.
    """
    count = len(log_weights)
    shares = log_weights.softmax(0)
    ends = shares.cumsum(0).T.contiguous()
    ends = ends / ends[:, -1:]
    places = (torch.arange(count, device=offset.device).unsqueeze(1) + offset) / count
    return torch.searchsorted(ends, places.T.contiguous(), right=True).clamp(max=count - 1).T
