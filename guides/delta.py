# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior of one point: a plain autoencoder."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes


class DeltaGuide(PyroModule):
    """q(z | x) is the one point loc(x), linear in the encoder's features.

    Its log-density counts as 0, so every objective becomes log p(x | z) + log p(z) at that point,
    the KL term being -log p(z): maximum a posteriori for z. With ``--kl-weight 0`` it is a plain
    autoencoder. It is no bound of log p(x), and no likelihood can be estimated with such a guide:
    ``evaluate`` refuses it. More than one particle is the same point again.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__("guide")
        check_sizes(latent_dim=latent_dim)
        self.encoder = encoder
        self.loc = nn.Linear(encoder.output_dim, latent_dim)

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """The point z ``(N, latent_dim)`` of ``tokens`` ``(N, T)``."""
        with pyro.plate("data", len(tokens)):
            return pyro.sample("z", self.posterior(self.encoder(tokens)))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        return dist.Delta(self.loc(features), event_dim=1)
