# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A diagonal Gaussian posterior."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes


class GaussianGuide(Guide):
    r"""q(z | x) = N(loc(x), diag scale(x)^2).

    .. math::
        q(z \mid x) = \prod_j \mathcal N(z_j; \mu_j(x), \sigma_j^2(x))

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    Mean and log variance are linear in the encoder's features. The KL to a Gaussian prior is in
    closed form.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = GaussianGuide(encoder, latent_dim=3)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    Source: Kingma and Welling (2014), Auto-Encoding Variational Bayes,
    https://arxiv.org/abs/1312.6114.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__(encoder)
        check_sizes(latent_dim=latent_dim)
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.log_variance = nn.Linear(encoder.output_dim, latent_dim)

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        scale = (0.5 * self.log_variance(features)).exp()
        return dist.Normal(self.loc(features), scale).to_event(1)
