# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every guide of one latent vector has in common: all but the family of its posterior."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import Tensor

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.nn.encoder import Encoder
from pyro_textvae.nn.text_and_source_encoder import TextAndSourceEncoder


class Guide(PyroModule):
    r"""q(z | x), amortised: a posterior whose parameters are functions of an encoder's features.

    .. math::
        z_n \sim q(z \mid x_n) = q(z \mid \text{features}(x_n)), \qquad n = 1, \dots, N

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    A subclass says in :meth:`posterior` which distribution comes of the features. The draw, in the
    plate ``"data"``, is here.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> class UnitGuide(Guide):
    ...     def __init__(self, encoder, latent_dim):
    ...         super().__init__(encoder)
    ...         self.loc = torch.nn.Linear(encoder.output_dim, latent_dim)
    ...
    ...     def posterior(self, features):
    ...         return dist.Normal(self.loc(features), 1.0).to_event(1)
    >>> guide = UnitGuide(BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8), 3)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    Source: Kingma and Welling (2014), Auto-Encoding Variational Bayes,
    https://arxiv.org/abs/1312.6114.

    With a :class:`~pyro_textvae.nn.TextAndSourceEncoder` it is q(z | x, source), and called with
    the field ``source`` too.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :raises TypeError: for a subclass without a ``posterior``.
    """

    def __init__(self, encoder: Encoder) -> None:
        if type(self).posterior is Guide.posterior:
            raise TypeError(
                f"{type(self).__name__} does not say what its posterior is: define "
                "posterior(features)"
            )
        super().__init__("guide")
        self.encoder = encoder
        if isinstance(encoder, TextAndSourceEncoder):
            # A program is given the fields that its forward names.
            self.forward = self._given_source  # type: ignore[assignment]

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw z ``(N, latent_dim)`` for ``tokens`` ``(N, T)``."""
        with pyro.plate(DATA_PLATE, len(tokens)):
            return pyro.sample("z", self.posterior(self.encoder(tokens)))

    def _given_source(self, tokens: Tensor, source: Tensor, *, size: int | None = None) -> Tensor:
        with pyro.plate(DATA_PLATE, len(tokens)):
            return pyro.sample("z", self.posterior(self.encoder(tokens, source)))

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features.

        A function of the features alone, of any batch shape: a prior that is made of posteriors
        (:class:`~pyro_textvae.priors.VampPrior`) calls it with features of no sentence.

        :param features: ``(..., encoder.output_dim)``.
        :returns: batch shape ``(...)``, event shape ``(latent_dim,)``.
        """
        raise NotImplementedError
