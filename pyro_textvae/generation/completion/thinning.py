# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Fewer weighted candidates in the place of many, every expectation left as it was."""

from __future__ import annotations

import torch
from torch import Tensor


def thin(log_weights: Tensor, number: int) -> tuple[Tensor, Tensor]:
    r"""Keep about ``number`` candidates: those that weigh much as they are, a share of the others.

    A candidate of weight w is kept with probability :math:`\min(1, w / c)`, and then weighs
    :math:`\max(w, c)`, so that its weight is w in expectation; c is such that ``number`` are
    expected to be kept. No candidate is ever there twice.

    Source: Fearnhead and Clifford (2003), On-line inference for hidden Markov models via particle
    filters, section 3, https://doi.org/10.1111/1467-9868.00421.

    >>> kept, weights = thin(torch.tensor([0.0, -1.0, -torch.inf]), 5)
    >>> kept.tolist(), weights.tolist()
    ([0, 1], [0.0, -1.0])

    :param log_weights: of the candidates, ``(N,)``; ``-inf`` for what is impossible.
    :param number: how many to keep; fewer where fewer are possible.
    :returns: their indices in order, and their log-weights.
    """
    possible = log_weights > -torch.inf
    if int(possible.sum()) <= number:
        (kept,) = possible.nonzero(as_tuple=True)
        return kept, log_weights[kept]
    largest = log_weights.max()
    weights = (log_weights.double() - largest).exp()
    level = _level(weights, number)
    share = (weights / level).clamp(max=1.0)
    # One number draws all: candidates beside each other are kept as evenly as can be.
    offset = torch.rand((), dtype=torch.float64, device=weights.device)
    ends = torch.where(share < 1.0, share, 0.0).cumsum(0) + offset
    drawn = ends.floor() > torch.cat([offset.floor().unsqueeze(0), ends[:-1].floor()])
    (kept,) = ((share == 1.0) | drawn).nonzero(as_tuple=True)
    return kept, weights[kept].clamp(min=level).log().to(log_weights.dtype) + largest


def _level(weights: Tensor, number: int) -> Tensor:
    """The c by which ``number`` of the candidates, fewer than there are, are expected to be kept.

    With the k heaviest kept as they are, the others share the places that are left: c is the first
    level that no other is above.
    """
    heaviest = weights.sort(descending=True).values[:number]
    left = weights.sum() - heaviest.cumsum(0) + heaviest
    places = torch.arange(number, 0, -1, device=weights.device, dtype=weights.dtype)
    levels = left / places
    return levels[(heaviest <= levels).nonzero()[0, 0]]
