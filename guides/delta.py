# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior of one point: a plain autoencoder."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor, nn

from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes


class DeltaGuide(Guide):
    r"""q(z | x) is the one point loc(x), linear in the encoder's features.

    .. math::
        q(z \mid x) = \delta(z - \text{loc}(x))

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    Its log-density counts as 0, so every objective becomes log p(x | z) + log p(z) at that point,
    the KL term being -log p(z): maximum a posteriori for z. With ``--kl-weight 0`` it is a plain
    autoencoder. It is no bound of log p(x), and no likelihood can be estimated with such a guide:
    ``evaluate`` refuses it. More than one particle is the same point again.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = DeltaGuide(encoder, latent_dim=3)
    >>> tokens = torch.tensor([[4, 5, 2], [6, 2, 0]])
    >>> bool((guide(tokens) == guide(tokens)).all())
    True

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z.
    """

    def __init__(self, encoder: Encoder, latent_dim: int) -> None:
        super().__init__(encoder)
        check_sizes(latent_dim=latent_dim)
        self.loc = nn.Linear(encoder.output_dim, latent_dim)

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        return dist.Delta(self.loc(features), event_dim=1)
