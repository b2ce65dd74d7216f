# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
r"""KL of a Gaussian with a covariance to one without, which PyTorch has no closed form for.

.. math::
    \mathrm{KL} = \tfrac12 \Big( \operatorname{tr} D^{-1} \Sigma - d - \log \frac{|\Sigma|}{|D|}
    + (\mu - m)^\top D^{-1} (\mu - m) \Big)

Importing this file registers it with ``torch.distributions.kl_divergence``.

>>> import pyro.distributions as dist
>>> from torch.distributions import kl_divergence
>>> q = dist.MultivariateNormal(torch.zeros(2), scale_tril=torch.eye(2))
>>> kl_divergence(q, dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))
tensor(0.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    register_kl,
)


@register_kl(MultivariateNormal, Independent)
def _full_to_diagonal(p: MultivariateNormal, q: Independent) -> Tensor:
    loc, scale = _diagonal_gaussian(q)
    factor = p.scale_tril / scale.unsqueeze(-1)
    ratio = factor.diagonal(dim1=-2, dim2=-1)
    # Four sums of terms that are never negative: nothing cancels where the two are close.
    diagonal = _squared_less_log(ratio.square())
    across = factor.tril(-1).square().sum((-2, -1))
    return 0.5 * (diagonal.sum(-1) + across + ((p.loc - loc) / scale).square().sum(-1))


@register_kl(LowRankMultivariateNormal, Independent)
def _low_rank_to_diagonal(p: LowRankMultivariateNormal, q: Independent) -> Tensor:
    loc, scale = _diagonal_gaussian(q)
    diagonal = _squared_less_log(p.cov_diag / scale.square())
    across = (p.cov_factor / scale.unsqueeze(-1)).square().sum((-2, -1))
    relative = p.cov_factor / p.cov_diag.sqrt().unsqueeze(-1)
    identity = torch.eye(relative.shape[-1], dtype=relative.dtype, device=relative.device)
    capacitance = torch.linalg.cholesky(relative.mT @ relative + identity)
    log_determinant = 2 * capacitance.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    distance = ((p.loc - loc) / scale).square().sum(-1)
    return 0.5 * (diagonal.sum(-1) + across - log_determinant + distance)


def _squared_less_log(variance_ratio: Tensor) -> Tensor:
    return variance_ratio - 1 - variance_ratio.log()


def _diagonal_gaussian(q: Independent) -> tuple[Tensor, Tensor]:
    """Mean and scale of a product of normal variables.

    :raises NotImplementedError: for any other product: it has no closed form.
    """
    base = q.base_dist
    if not isinstance(base, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError(f"no closed form for a KL to {type(base).__name__}")
    return base.loc, base.scale
