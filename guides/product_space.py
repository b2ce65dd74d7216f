# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior over a direction and a log-norm."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.distributions import VonMisesFisher
from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes


class ProductSpaceGuide(PyroModule):
    """q(z | x): a von Mises-Fisher direction, and one Gaussian coordinate, independent.

    The first ``latent_dim - 1`` coordinates are a unit vector, the last is a real number, to be
    read as the log of a norm; the decoder gets them as they are. Direction, mean and log variance
    are linear in the encoder's features, the direction divided by its norm; the concentration is
    softplus of a linear function, which starts where the mean of the direction is half way between
    the centre and the sphere. Goes with the prior ``product_space``, and its KL to that is in
    closed form.

    Source: Davidson et al. (2018), Hyperspherical variational auto-encoders; Skopek et al. (2020),
    Mixed-curvature variational autoencoders, for products of spaces.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z, at least 3.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__("guide")
        check_sizes(minimum=3, latent_dim=latent_dim)
        self.encoder = encoder
        self.direction = nn.Linear(encoder.output_dim, latent_dim - 1)
        self.concentration = nn.Linear(encoder.output_dim, 1)
        self.loc = nn.Linear(encoder.output_dim, 1)
        self.log_variance = nn.Linear(encoder.output_dim, 1)
        # The inverse of softplus.
        start = 2 / 3 * (latent_dim - 1)
        nn.init.constant_(self.concentration.bias, start + math.log(-math.expm1(-start)))

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``."""
        with pyro.plate("data", len(tokens)):
            return pyro.sample("z", self.posterior(self.encoder(tokens)))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        concentration = softplus(self.concentration(features)).squeeze(-1)
        direction = VonMisesFisher(unit_vector(self.direction(features)), concentration)
        scale = (0.5 * self.log_variance(features)).exp()
        return IndependentBlocks([direction, dist.Normal(self.loc(features), scale).to_event(1)])
