# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A diagonal Gaussian posterior."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Encoder


class GaussianGuide(PyroModule):
    """q(z | x) = N(loc(x), diag scale(x)^2), both linear in the encoder's features.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__("guide")
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        self.encoder = encoder
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.log_variance = nn.Linear(encoder.output_dim, latent_dim)

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``."""
        with pyro.plate("data", len(tokens)):
            return pyro.sample("z", self.posterior(self.encoder(tokens)))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        scale = (0.5 * self.log_variance(features)).exp()
        return dist.Normal(self.loc(features), scale).to_event(1)
