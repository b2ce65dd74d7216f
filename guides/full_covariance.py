# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Gaussian posterior with a covariance."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes

# softplus of a large negative number is 0, which is no scale.
_SMALLEST_SCALE = 1e-5
_SOFTPLUS_OF_ONE = math.log(math.expm1(1.0))


class FullCovarianceGuide(PyroModule):
    """q(z | x) = N(loc(x), L(x) L(x)^T) with a lower triangular L = diag(scale) (I + A).

    Mean and A are linear in the encoder's features, scale is softplus of a linear function. A is
    divided by the square root of ``latent_dim`` and so starts small: the guide starts close to a
    diagonal Gaussian of scale 1. Its KL to a diagonal Gaussian prior is in closed form.

    The encoder's last layer has ``latent_dim (latent_dim - 1) / 2`` outputs for A: for many
    dimensions :class:`~pyro_textvae.guides.LowRankGuide` has fewer.

    Source: Kingma and Welling (2019), An introduction to variational autoencoders, section 2.5.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z, at least 2.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__("guide")
        check_sizes(minimum=2, latent_dim=latent_dim)
        self.encoder = encoder
        self.latent_dim = latent_dim
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.scale = nn.Linear(encoder.output_dim, latent_dim)
        self.below_diagonal = nn.Linear(encoder.output_dim, latent_dim * (latent_dim - 1) // 2)

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``."""
        with pyro.plate("data", len(tokens)):
            return pyro.sample("z", self.posterior(self.encoder(tokens)))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        scale = softplus(self.scale(features) + _SOFTPLUS_OF_ONE) + _SMALLEST_SCALE
        rows, columns = torch.tril_indices(self.latent_dim, self.latent_dim, -1)
        unit_tril = torch.eye(self.latent_dim, dtype=scale.dtype, device=scale.device)
        unit_tril = unit_tril.repeat(*scale.shape[:-1], 1, 1)
        unit_tril[..., rows, columns] = self.below_diagonal(features) / self.latent_dim**0.5
        return dist.MultivariateNormal(
            self.loc(features), scale_tril=scale.unsqueeze(-1) * unit_tril
        )
