# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A language model: the decoder alone, the baseline of every table."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn


class LanguageModel(PyroModule):
    r"""x ~ p(x): a sentence drawn word by word, with no latent.

    .. math::
        p(x) = \prod_t p(x_t \mid x_{<t})

    ======  ======  ===================================
    symbol  site    shape
    ======  ======  ===================================
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ===================================

    The site is in the plate ``"data"`` of N sentences.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=0, max_length=6
    ... )
    >>> LanguageModel(decoder)(size=10).shape
    torch.Size([10, 6])

    Source: Mikolov et al. (2010), Recurrent Neural Network Based Language Model,
    https://doi.org/10.21437/Interspeech.2010-343.

    :param decoder: a decoder with ``latent_dim=0``; called with nothing, returns p(x).
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__("model")
        self.decoder = decoder

    @staticmethod
    def decoder_latent_dim() -> int:
        """What a run's decoder is built with as ``latent_dim``, in the place of the setting."""
        return 0

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)``, or generate ``size`` sentences."""
        with pyro.plate("data", size if tokens is None else len(tokens)):
            return pyro.sample("x", self.decoder(), obs=tokens)
