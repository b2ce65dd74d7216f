# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An autoregressive prior over the dimensions of z."""

from __future__ import annotations

from typing import Any

import torch
from pyro.nn import AutoRegressiveNN
from torch import nn

from pyro_textvae.distributions.autoregressive_normal import AutoregressiveNormal
from pyro_textvae.nn.checks import check_sizes


class AutoregressivePrior(nn.Module):
    r"""p(z) = prod_j N(z_j | z_<j), location and scale from a masked network, all learned.

    .. math::
        p(z) = \prod_j \mathcal N(z_j; \mu_j(z_{<j}), \sigma_j^2(z_{<j}))

    Scoring takes one pass of the network, a draw ``latent_dim`` of them. Called with nothing,
    returns the distribution.

    >>> prior = AutoregressivePrior(latent_dim=3, hidden_dim=8)
    >>> prior().sample((10,)).shape
    torch.Size([10, 3])

    Source: Germain et al. (2015), MADE: Masked Autoencoder for Distribution Estimation,
    https://arxiv.org/abs/1502.03509; Chen et al. (2017), Variational Lossy Autoencoder,
    https://arxiv.org/abs/1611.02731, for such a prior.

    :param latent_dim: size of z, at least 2.
    :param hidden_dim: width of the network's hidden layer, at least ``latent_dim``.
    :raises ValueError: for a smaller size.
    """

    zero: torch.Tensor

    def __init__(self, latent_dim: int, hidden_dim: int) -> None:
        check_sizes(minimum=2, latent_dim=latent_dim)
        check_sizes(minimum=latent_dim, hidden_dim=hidden_dim)
        super().__init__()
        self.latent_dim = latent_dim
        self.hidden_dim = hidden_dim
        order: Any = torch.arange(latent_dim)
        # Tanh: what explores the posterior by gradients wants a density without kinks.
        self.network = AutoRegressiveNN(
            latent_dim, [hidden_dim], permutation=order, nonlinearity=nn.Tanh()
        )
        # A buffer, so that the draws follow the module's device and precision.
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> AutoregressiveNormal:
        """The distribution, batch shape ``()`` and event shape ``(latent_dim,)``."""
        return AutoregressiveNormal(self.network, self.zero)
