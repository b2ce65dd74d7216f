# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A power spherical posterior."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.inverse_softplus import inverse_softplus

# Keeps the KL's gradient alive; its KL to the uniform prior is below 2e-4 nats in any dimension.
_SMALLEST_CONCENTRATION = 0.01


class PowerSphericalGuide(Guide):
    r"""q(z | x) = PowerSpherical(loc(x), concentration(x)) on the unit sphere.

    .. math::
        q(z \mid x) \propto (1 + \mu(x)^\top z)^{\kappa(x)}, \qquad \lVert z \rVert = 1

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    Its direction is linear in the encoder's features and divided by its norm, its concentration
    softplus of a linear function. That starts at about ``latent_dim``, where the mean of z is half
    way between the centre and the sphere: posteriors neither points nor the prior.

    The density falls to zero opposite to its direction, so that importance weights have no finite
    variance once the concentration reaches (d - 1) / 2: trust a likelihood by its k-hat.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = PowerSphericalGuide(encoder, latent_dim=3)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).norm(dim=-1).allclose(torch.ones(2))
    True

    Source: Davidson et al. (2018), Hyperspherical Variational Auto-Encoders,
    https://arxiv.org/abs/1804.00891; De Cao and Aziz (2020), The Power Spherical
    Distribution, https://arxiv.org/abs/2006.04437.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: dimensions of the space around the sphere, at least 2.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__(encoder)
        check_sizes(minimum=2, latent_dim=latent_dim)
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.concentration = nn.Linear(encoder.output_dim, 1)
        nn.init.constant_(self.concentration.bias, inverse_softplus(latent_dim))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        loc = unit_vector(self.loc(features))
        concentration = softplus(self.concentration(features)).squeeze(-1)
        return PowerSpherical(loc, concentration + _SMALLEST_CONCENTRATION)
