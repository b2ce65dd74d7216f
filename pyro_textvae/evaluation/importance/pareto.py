# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The tail of importance weights: when an estimate is not to be trusted, and a smoother one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST_SAMPLE = 100
"""Below this many weights the fit says nothing."""
# A shape so near to zero has the quantiles of zero.
_NO_SHAPE = 1e-9


def tail_size(num_samples: int) -> int:
    """How many of the largest weights the tail is fitted to (Vehtari et al., 2024, section 2)."""
    return math.ceil(min(0.2 * num_samples, 3.0 * math.sqrt(num_samples)))


def pareto_khat(largest_log_weights: Tensor) -> Tensor:
    """Shape k of a generalised Pareto fitted to the tail of each sentence's weights.

    Above 0.7 the importance-weighted estimate is unreliable; above 1 the weights have no mean.

    Source: Zhang and Stephens (2009), A new and efficient estimation method for the generalized
    Pareto distribution, https://doi.org/10.1198/tech.2009.08017, with the weak prior of Vehtari et
    al. (2024), Pareto smoothed importance sampling, appendix C, https://arxiv.org/abs/1507.02646.

    :param largest_log_weights: the M + 1 largest log-weights, ``(M + 1, N)``; the smallest of them
        is the cut-off.
    :returns: ``(N,)``; minus infinity where the weights are constant.
    """
    return _fitted(_ascending(largest_log_weights))[0]


def smoothed_log_sum(largest_log_weights: Tensor, log_sum: Tensor) -> Tensor:
    r"""Log of the sum of all weights, the M largest replaced by what is expected of them; ``(N,)``.

    .. math::
        w_{(m)} \to \min\left(F^{-1}\left(\frac{m - 1/2}{M}\right), \max_k w_k\right)

    F is the generalised Pareto distribution that is fitted to the tail. The sum is then less
    variable, and no longer unbiased. A tail that is constant stays as it is.

    Source: Vehtari et al. (2024), Pareto smoothed importance sampling, section 3,
    https://arxiv.org/abs/1507.02646.

    :param largest_log_weights: as for :func:`pareto_khat`.
    :param log_sum: of all weights, those among them, ``(N,)``.
    """
    tail = _ascending(largest_log_weights)
    khat, scale = _fitted(tail)
    largest = tail[-1]
    weights = (tail - largest).exp()
    rest = ((log_sum - largest).exp() - weights[1:].sum(0)).clamp(min=0.0)
    count = len(tail) - 1
    position = torch.arange(1, count + 1, dtype=tail.dtype, device=tail.device) - 0.5
    rate = -torch.log1p(-position / count).unsqueeze(-1)  # of an exponential, the limit of shape 0
    shape = khat.where(khat.abs() > _NO_SHAPE, _NO_SHAPE)
    excess = scale * torch.expm1(shape * rate) / shape
    smoothed = (weights[0] + excess).clamp(max=1.0).sum(0)
    return (largest + (rest + smoothed).log()).where(khat.isfinite(), log_sum)


def _ascending(largest_log_weights: Tensor) -> Tensor:
    return largest_log_weights.double().sort(0).values


def _fitted(tail: Tensor) -> tuple[Tensor, Tensor]:
    """Shape, and scale in units of the largest weight, of ascending log-weights; ``(N,)`` each."""
    weights = (tail - tail[-1]).exp()
    excess = weights[1:] - weights[0]  # (M, N), ascending
    count = len(excess)
    constant = excess[-1] <= torch.finfo(excess.dtype).eps
    # A tie with the cut-off leaves zeros, where the grid of the fit would divide by zero.
    excess = excess.clamp(min=torch.finfo(excess.dtype).tiny)
    largest = excess[-1].masked_fill(constant, 1.0)
    quartile = excess[int(count / 4 + 0.5) - 1].clamp(min=1e-10 * largest)
    grid_size = 30 + int(math.sqrt(count))
    position = torch.arange(1, grid_size + 1, dtype=excess.dtype, device=excess.device) - 0.5
    shrink = (1.0 - (grid_size / position).sqrt()).unsqueeze(-1)
    theta = 1.0 / largest + shrink / (3.0 * quartile)  # (grid, N)
    shape = torch.stack([torch.log1p(-row * excess).mean(0) for row in theta])
    profile = count * ((-theta / shape).log() - shape - 1.0)
    average = (profile.softmax(0) * theta).sum(0)
    khat = torch.log1p(-average * excess).mean(0)
    scale = -khat / average
    khat = (khat * count + 5.0) / (count + 10.0)
    return khat.masked_fill(constant, -torch.inf), scale
