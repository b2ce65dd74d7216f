# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Gaussian posterior with a covariance."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.inverse_softplus import inverse_softplus

# softplus of a large negative number is 0, which is no scale.
_SMALLEST_SCALE = 1e-5
_START = inverse_softplus(1.0)


class FullCovarianceGuide(Guide):
    r"""q(z | x) = N(loc(x), L(x) L(x)^T) with a lower triangular L = diag(scale) (I + A).

    .. math::
        q(z \mid x) = \mathcal N(z; \mu(x), L L^\top), \qquad
        L = \operatorname{diag}(\sigma(x)) \, (I + A(x) / \sqrt{d}), \quad
        A_{ij} = 0 \text{ for } i \le j

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    Mean and A are linear in the encoder's features, scale is softplus of a linear function. A is
    divided by the square root of ``latent_dim`` and so starts small: the guide starts close to a
    diagonal Gaussian of scale 1. Its KL to a diagonal Gaussian prior is in closed form.

    The encoder's last layer has ``latent_dim (latent_dim - 1) / 2`` outputs for A: for many
    dimensions :class:`~pyro_textvae.guides.LowRankGuide` has fewer.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = FullCovarianceGuide(encoder, latent_dim=3)
    >>> guide.posterior(torch.zeros(2, 8)).covariance_matrix.shape
    torch.Size([2, 3, 3])

    Source: Kingma and Welling (2019), An Introduction to Variational Autoencoders, section 2.5,
    https://arxiv.org/abs/1906.02691.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z, at least 2.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__(encoder)
        check_sizes(minimum=2, latent_dim=latent_dim)
        self.latent_dim = latent_dim
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.scale = nn.Linear(encoder.output_dim, latent_dim)
        self.below_diagonal = nn.Linear(encoder.output_dim, latent_dim * (latent_dim - 1) // 2)

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        scale = softplus(self.scale(features) + _START) + _SMALLEST_SCALE
        rows, columns = torch.tril_indices(self.latent_dim, self.latent_dim, -1)
        unit_tril = torch.eye(self.latent_dim, dtype=scale.dtype, device=scale.device)
        unit_tril = unit_tril.repeat(*scale.shape[:-1], 1, 1)
        unit_tril[..., rows, columns] = self.below_diagonal(features) / self.latent_dim**0.5
        return dist.MultivariateNormal(
            self.loc(features), scale_tril=scale.unsqueeze(-1) * unit_tril
        )
