# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Gaussian posterior whose covariance is diagonal plus a few directions."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.inverse_softplus import inverse_softplus

# softplus of a large negative number is 0, which is no scale.
_SMALLEST_SCALE = 1e-5
_START = inverse_softplus(1.0)


class LowRankGuide(Guide):
    r"""q(z | x) = N(loc(x), S (I + B B^T / d) S) with a diagonal S and a B of ``rank`` columns.

    .. math::
        q(z \mid x) = \mathcal N(z; \mu(x), S (I + B B^\top / d) S), \qquad
        S = \operatorname{diag}(\sigma(x)), \quad B = B(x) \in \mathbb R^{d \times \text{rank}}

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    Mean and B are linear in the encoder's features, the diagonal of S is softplus of a linear
    function, d is ``latent_dim``: the guide starts close to a diagonal Gaussian of scale 1. Its KL
    to a diagonal Gaussian prior is in closed form.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = LowRankGuide(encoder, latent_dim=5, rank=2)
    >>> guide.posterior(torch.zeros(2, 8)).cov_factor.shape
    torch.Size([2, 5, 2])

    Source: Ong, Nott and Smith (2018), Gaussian Variational Approximation with a Factor Covariance
    Structure, https://arxiv.org/abs/1701.03208.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z, at least 2.
    :param rank: directions with a covariance of their own, at most ``latent_dim``.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, rank: int = 2) -> None:
        super().__init__(encoder)
        check_sizes(minimum=2, latent_dim=latent_dim)
        check_sizes(rank=rank)
        if rank > latent_dim:
            raise ValueError(f"rank must be at most latent_dim ({latent_dim}), got {rank}")
        self.rank = rank
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.scale = nn.Linear(encoder.output_dim, latent_dim)
        self.directions = nn.Linear(encoder.output_dim, latent_dim * rank)

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        scale = softplus(self.scale(features) + _START) + _SMALLEST_SCALE
        directions = self.directions(features).unflatten(-1, (-1, self.rank))
        factor = scale.unsqueeze(-1) * directions / scale.shape[-1] ** 0.5
        return dist.LowRankMultivariateNormal(self.loc(features), factor, scale.square())
