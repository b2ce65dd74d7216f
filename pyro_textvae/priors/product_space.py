# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The prior of a direction and a log-norm."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import nn

from pyro_textvae.distributions import HypersphericalUniform
from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.nn.checks import check_sizes


class ProductSpace(nn.Module):
    r"""z is a uniform direction, ``latent_dim - 1`` coordinates, and a standard normal log-norm.

    .. math::
        p(z) = \text{Uniform}(z_{<d}; S^{d-2}) \, \mathcal N(z_d; 0, 1)

    Called with nothing, returns the distribution. Needs the guide ``product_space``.

    >>> prior = ProductSpace(latent_dim=4)
    >>> prior().sample((10,)).shape
    torch.Size([10, 4])

    Source: Skopek et al. (2020), Mixed-curvature Variational Autoencoders,
    https://arxiv.org/abs/1911.08411, for products of spaces.

    :param latent_dim: size of z, at least 3.
    :raises ValueError: for a smaller size.
    """

    zero: torch.Tensor

    def __init__(self, latent_dim: int) -> None:
        check_sizes(minimum=3, latent_dim=latent_dim)
        super().__init__()
        self.latent_dim = latent_dim
        # A buffer, so that the draws follow the module's device and precision.
        self.register_buffer("zero", torch.zeros(1), persistent=False)

    def forward(self) -> IndependentBlocks:
        """The distribution, batch shape ``()`` and event shape ``(latent_dim,)``."""
        zero = self.zero
        direction = HypersphericalUniform(self.latent_dim - 1, dtype=zero.dtype, device=zero.device)
        return IndependentBlocks([direction, dist.Normal(zero, torch.ones_like(zero)).to_event(1)])
