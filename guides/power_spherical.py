# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A power spherical posterior."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes

# Keeps the KL's gradient alive; its KL to the uniform prior is below 2e-4 nats in any dimension.
_SMALLEST_CONCENTRATION = 0.01


class PowerSphericalGuide(PyroModule):
    """q(z | x) = PowerSpherical(loc(x), concentration(x)) on the unit sphere.

    Its direction is linear in the encoder's features and divided by its norm, its concentration
    softplus of a linear function. That starts at about ``latent_dim``, where the mean of z is half
    way between the centre and the sphere: posteriors neither points nor the prior.

    The density falls to zero opposite to its direction, so that importance weights have no finite
    variance once the concentration reaches (d - 1) / 2: trust a likelihood by its k-hat.

    Source: Davidson et al. (2018), Hyperspherical variational auto-encoders; De Cao and Aziz
    (2020).

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: dimensions of the space around the sphere, at least 2.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__("guide")
        check_sizes(minimum=2, latent_dim=latent_dim)
        self.encoder = encoder
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.concentration = nn.Linear(encoder.output_dim, 1)
        # The inverse of softplus.
        nn.init.constant_(self.concentration.bias, latent_dim + math.log(-math.expm1(-latent_dim)))

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``."""
        with pyro.plate("data", len(tokens)):
            return pyro.sample("z", self.posterior(self.encoder(tokens)))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        loc = unit_vector(self.loc(features))
        concentration = softplus(self.concentration(features)).squeeze(-1)
        return PowerSpherical(loc, concentration + _SMALLEST_CONCENTRATION)
