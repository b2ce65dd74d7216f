# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The baseline of every table with a source: no latent, a sentence given the source."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor

from pyro_textvae.nn import Decoder, Encoder
from pyro_textvae.nn.shared_embedding import share_embedding


class ConditionalLanguageModel(PyroModule):
    r"""x ~ p(x | s): a sentence drawn word by word given a source, with no latent.

    .. math::
        p(x \mid s) = \prod_t p(x_t \mid x_{<t}, s)

    ======  ======  ===================================
    symbol  site    shape
    ======  ======  ===================================
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ===================================

    The site is in the plate ``"data"`` of N sentences.

    >>> import torch
    >>> from pyro_textvae.nn import GRUDecoder, GRUEncoder
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> decoder = GRUDecoder(**sizes, latent_dim=0, max_length=6, memory_dim=8)
    >>> model = ConditionalLanguageModel(GRUEncoder(**sizes), decoder)
    >>> model(source=torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 6])

    Source: Bahdanau et al. (2015), Neural Machine Translation by Jointly Learning to Align and
    Translate, https://arxiv.org/abs/1409.0473.

    :param source_encoder: an encoder that gives states, see
        :meth:`~pyro_textvae.nn.encoder.Encoder.read`.
    :param decoder: a decoder with ``latent_dim=0`` and the encoder's ``memory_dim``.
    :param shared_embedding: whether source and text have one table of word vectors, see
        :func:`~pyro_textvae.nn.shared_embedding.share_embedding`.
    """

    def __init__(
        self, source_encoder: Encoder, decoder: Decoder, shared_embedding: bool = False
    ) -> None:
        super().__init__("model")
        if shared_embedding:
            share_embedding(source_encoder, decoder)
        self.source_encoder = source_encoder
        self.decoder = decoder

    @staticmethod
    def decoder_latent_dim() -> int:
        """What a run's decoder is built with as ``latent_dim``, in the place of the setting."""
        return 0

    def forward(self, source: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)`` given ``source`` ``(N, S)``, or generate a text for each."""
        memory, _ = self.source_encoder.read(source)
        with pyro.plate("data", len(source)):
            return pyro.sample("x", self.decoder(None, memory), obs=tokens)
