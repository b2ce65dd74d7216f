# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A von Mises-Fisher posterior."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import softplus

from pyro_textvae.distributions import VonMisesFisher
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.inverse_softplus import inverse_softplus


class VonMisesFisherGuide(Guide):
    r"""q(z | x) = VonMisesFisher(loc(x), concentration(x)) on the unit sphere.

    .. math::
        q(z \mid x) \propto \exp(\kappa(x) \, \mu(x)^\top z), \qquad \lVert z \rVert = 1

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    Its direction is linear in the encoder's features and divided by its norm. Its concentration is
    one number for all sentences where that is given: then the KL to the uniform prior is the same
    for all too, and cannot collapse. Otherwise it is softplus of a linear function of the features,
    which starts at about two thirds of ``latent_dim``, where the mean of z is half way between the
    centre and the sphere: posteriors neither points nor the prior.

    The density is positive on the whole sphere, so that importance weights are bounded; but by
    exp(2 kappa), which is no help for large concentrations: trust a likelihood by its k-hat.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = VonMisesFisherGuide(encoder, latent_dim=3, concentration=20.0)
    >>> guide.posterior(torch.zeros(2, 8)).concentration
    tensor([20., 20.])

    Source: Davidson et al. (2018), Hyperspherical Variational Auto-Encoders,
    https://arxiv.org/abs/1804.00891; Xu and Durrett (2018), Spherical Latent Spaces for
    Stable Variational Autoencoders, https://aclanthology.org/D18-1480/, who fix the concentration.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: dimensions of the space around the sphere, at least 2.
    :param concentration: of every posterior, positive; by default learned.
    """

    def __init__(
        self, encoder: Encoder, latent_dim: int, concentration: float | None = None
    ) -> None:
        super().__init__(encoder)
        check_sizes(minimum=2, latent_dim=latent_dim)
        if concentration is not None and not 0 < concentration < math.inf:
            raise ValueError(f"concentration must be positive and finite, got {concentration}")
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.fixed_concentration = concentration
        if concentration is None:
            self.concentration = nn.Linear(encoder.output_dim, 1)
            nn.init.constant_(self.concentration.bias, inverse_softplus(2 / 3 * latent_dim))

    def posterior(self, features: Tensor) -> VonMisesFisher:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        loc = unit_vector(self.loc(features))
        if self.fixed_concentration is None:
            return VonMisesFisher(loc, softplus(self.concentration(features)).squeeze(-1))
        return VonMisesFisher(loc, loc.new_tensor(self.fixed_concentration))
