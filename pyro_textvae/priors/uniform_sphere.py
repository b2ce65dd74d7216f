# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The uniform prior over the unit sphere."""

from __future__ import annotations

import torch
from torch import nn

from pyro_textvae.distributions import HypersphericalUniform
from pyro_textvae.nn.checks import check_sizes


class UniformSphere(nn.Module):
    """z uniform over the unit vectors of ``latent_dim`` dimensions; needs a spherical guide.

    Called with nothing, returns the distribution.
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
