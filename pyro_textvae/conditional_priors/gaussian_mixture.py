# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mixture of Gaussians whose weights, means and variances come from the source."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_textvae.distributions.diagonal_gaussian_mixture import DiagonalGaussianMixture
from pyro_textvae.nn.checks import check_sizes


class ConditionalGaussianMixture(nn.Module):
    r"""p(z | s) = sum_c weight_c(s) N(loc_c(s), diag scale_c(s)^2): several answers to a source.

    .. math::
        p(z \mid s) = \sum_c \pi_c(s) \prod_j \mathcal N(z_j; \mu_{cj}(s), \sigma_{cj}^2(s))

    The KL to it has no closed form: it is sampled.

    >>> import torch
    >>> prior = ConditionalGaussianMixture(feature_dim=8, latent_dim=3)
    >>> prior(torch.zeros(2, 8)).sample().shape
    torch.Size([2, 3])

    Source: Gu et al. (2018), DialogWAE, https://arxiv.org/abs/1805.12352, its mixture prior, here
    with the KL of a variational autoencoder.

    :param feature_dim: width of the source's features.
    :param latent_dim: size of z.
    :param num_components: at least 2.
    """

    def __init__(self, feature_dim: int, latent_dim: int, num_components: int = 3) -> None:
        check_sizes(feature_dim=feature_dim, latent_dim=latent_dim)
        check_sizes(minimum=2, num_components=num_components)
        super().__init__()
        self.feature_dim = feature_dim
        self.latent_dim = latent_dim
        self.num_components = num_components
        self.logits = nn.Linear(feature_dim, num_components)
        self.loc = nn.Linear(feature_dim, num_components * latent_dim)
        self.log_variance = nn.Linear(feature_dim, num_components * latent_dim)

    def forward(self, features: Tensor) -> dist.TorchDistribution:
        """The distribution for features ``(N, feature_dim)``, batch shape ``(N,)``."""
        loc, log_variance = (
            linear(features).unflatten(-1, (self.num_components, self.latent_dim))
            for linear in (self.loc, self.log_variance)
        )
        weights = dist.Categorical(logits=self.logits(features))
        components = dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1)
        return DiagonalGaussianMixture(weights, components)
