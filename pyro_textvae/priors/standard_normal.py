# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The standard normal prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import nn

from pyro_textvae.nn.checks import check_sizes


class StandardNormal(nn.Module):
    r"""z ~ N(0, I) in ``latent_dim`` dimensions; called with nothing, returns the distribution.

    .. math::
        p(z) = \mathcal N(z; 0, I)

    >>> prior = StandardNormal(latent_dim=3)
    >>> prior().sample((10,)).shape
    torch.Size([10, 3])

    :param latent_dim: size of z.
    :raises ValueError: for a size below 1.
    """

    zero: torch.Tensor

    def __init__(self, latent_dim: int) -> None:
        check_sizes(latent_dim=latent_dim)
        super().__init__()
        self.latent_dim = latent_dim
        # A buffer, so that the draws follow the module's device and precision.
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution, batch shape ``()`` and event shape ``(latent_dim,)``."""
        return dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1)
