# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The uniform prior over the unit sphere."""

from __future__ import annotations

import torch
from torch import nn

from pyro_textvae.distributions import HypersphericalUniform
from pyro_textvae.nn.checks import check_sizes


class UniformSphere(nn.Module):
    r"""z uniform over the unit vectors of ``latent_dim`` dimensions; needs a spherical guide.

    .. math::
        p(z) = \frac{\Gamma(d/2)}{2 \pi^{d/2}}, \qquad \lVert z \rVert = 1

    Called with nothing, returns the distribution.

    >>> prior = UniformSphere(latent_dim=3)
    >>> prior().sample((10,)).norm(dim=-1).allclose(torch.ones(10))
    True

    Source: Davidson et al. (2018), Hyperspherical Variational Auto-Encoders,
    https://arxiv.org/abs/1804.00891.

    :param latent_dim: dimensions of the space around the sphere, at least 2.
    :raises ValueError: for a smaller size.
    """

    zero: torch.Tensor

    def __init__(self, latent_dim: int) -> None:
        check_sizes(minimum=2, latent_dim=latent_dim)
        super().__init__()
        self.latent_dim = latent_dim
        # A buffer, so that the draws follow the module's device and precision.
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self) -> HypersphericalUniform:
        """The distribution, batch shape ``()`` and event shape ``(latent_dim,)``."""
        return HypersphericalUniform(
            self.latent_dim, dtype=self.zero.dtype, device=self.zero.device
        )
