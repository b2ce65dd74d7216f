# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior of several Gaussians."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_textvae.distributions.diagonal_gaussian_mixture import DiagonalGaussianMixture
from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes


class GaussianMixtureGuide(Guide):
    r"""q(z | x) = sum_c weight_c(x) N(loc_c(x), diag scale_c(x)^2).

    .. math::
        q(z \mid x) = \sum_c \pi_c(x) \prod_j \mathcal N(z_j; \mu_{cj}(x), \sigma_{cj}^2(x))

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    Logits of the weights, means and log variances are linear in the encoder's features. Draws have
    gradients to all three. The KL has no closed form: it is sampled.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = GaussianMixtureGuide(encoder, latent_dim=3, num_posterior_components=4)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    Source: Graves (2016), Stochastic Backpropagation through Mixture Density Distributions,
    https://arxiv.org/abs/1607.05690.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    :param num_posterior_components: Gaussians of each posterior, at least 2.
    """

    def __init__(
        self, encoder: Encoder, latent_dim: int, num_posterior_components: int = 3
    ) -> None:
        super().__init__(encoder)
        check_sizes(latent_dim=latent_dim)
        check_sizes(minimum=2, num_posterior_components=num_posterior_components)
        self.num_posterior_components = num_posterior_components
        self.logits = nn.Linear(encoder.output_dim, num_posterior_components)
        self.loc = nn.Linear(encoder.output_dim, num_posterior_components * latent_dim)
        self.log_variance = nn.Linear(encoder.output_dim, num_posterior_components * latent_dim)

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        loc = self.loc(features).unflatten(-1, (self.num_posterior_components, -1))
        scale = (
            (0.5 * self.log_variance(features))
            .exp()
            .unflatten(-1, (self.num_posterior_components, -1))
        )
        return DiagonalGaussianMixture(
            dist.Categorical(logits=self.logits(features)), dist.Normal(loc, scale).to_event(1)
        )
