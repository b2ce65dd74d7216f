# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Gaussian prior whose mean and variance come from the source."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes


class ConditionalGaussian(nn.Module):
    r"""p(z | s) = N(loc(s), diag scale(s)^2), linear in the source's features.

    .. math::
        p(z \mid s) = \prod_j \mathcal N(z_j; \mu_j(s), \sigma_j^2(s))

    >>> import torch
    >>> prior = ConditionalGaussian(feature_dim=8, latent_dim=3)
    >>> prior(torch.zeros(2, 8)).sample().shape
    torch.Size([2, 3])

    Source: Sohn et al. (2015), Learning Structured Output Representation using Deep Conditional
    Generative Models, https://papers.nips.cc/paper/5775.

    :param feature_dim: width of the source's features.
    :param latent_dim: size of z.
    """

    def __init__(self, feature_dim: int, latent_dim: int) -> None:
        check_sizes(feature_dim=feature_dim, latent_dim=latent_dim)
        super().__init__()
        self.feature_dim = feature_dim
        self.latent_dim = latent_dim
        self.loc = nn.Linear(feature_dim, latent_dim)
        self.log_variance = nn.Linear(feature_dim, latent_dim)

    def forward(self, features: Tensor) -> dist.TorchDistribution:
        """The distribution for features ``(N, feature_dim)``, batch shape ``(N,)``."""
        scale = (0.5 * self.log_variance(features)).exp()
        return dist.Normal(self.loc(features), scale).to_event(1)
