# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior over a direction and a log-norm."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.distributions import VonMisesFisher
from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.inverse_softplus import inverse_softplus


class ProductSpaceGuide(Guide):
    r"""q(z | x): a von Mises-Fisher direction, and one Gaussian coordinate, independent.

    .. math::
        q(z \mid x) = \text{vMF}(z_{<d}; \mu(x), \kappa(x)) \, \mathcal N(z_d; m(x), \sigma^2(x))

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    The first ``latent_dim - 1`` coordinates are a unit vector, the last is a real number, to be
    read as the log of a norm; the decoder gets them as they are. Direction, mean and log variance
    are linear in the encoder's features, the direction divided by its norm; the concentration is
    softplus of a linear function, which starts where the mean of the direction is half way between
    the centre and the sphere. Goes with the prior ``product_space``, and its KL to that is in
    closed form.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = ProductSpaceGuide(encoder, latent_dim=4)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 4])

    Source: Davidson et al. (2018), Hyperspherical Variational Auto-Encoders,
    https://arxiv.org/abs/1804.00891; Skopek et al. (2020), Mixed-curvature Variational
    Autoencoders, https://arxiv.org/abs/1911.08411, for products of spaces.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z, at least 3.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__(encoder)
        check_sizes(minimum=3, latent_dim=latent_dim)
        self.direction = nn.Linear(encoder.output_dim, latent_dim - 1)
        self.concentration = nn.Linear(encoder.output_dim, 1)
        self.loc = nn.Linear(encoder.output_dim, 1)
        self.log_variance = nn.Linear(encoder.output_dim, 1)
        nn.init.constant_(self.concentration.bias, inverse_softplus(2 / 3 * (latent_dim - 1)))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        concentration = softplus(self.concentration(features)).squeeze(-1)
        direction = VonMisesFisher(unit_vector(self.direction(features)), concentration)
        scale = (0.5 * self.log_variance(features)).exp()
        return IndependentBlocks([direction, dist.Normal(self.loc(features), scale).to_event(1)])
