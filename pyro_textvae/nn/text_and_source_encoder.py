# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Two encoders side by side: of a sentence, and of its source."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.nn.encoder import Encoder


class TextAndSourceEncoder(Encoder):
    """Features of a sentence, then those of its source: what makes any guide a q(z | x, source).

    A :class:`~pyro_textvae.nn.Guide` that is built with one is called with ``source`` too.

    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> text, source = (
    ...     BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8) for _ in range(2)
    ... )
    >>> encoder = TextAndSourceEncoder(text, source)
    >>> encoder(torch.tensor([[4, 2]]), torch.tensor([[6, 5, 2]])).shape
    torch.Size([1, 16])

    :param encoder: of the sentence.
    :param source_encoder: of the source.
    """

    def __init__(self, encoder: Encoder, source_encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.source_encoder = source_encoder
        self.output_dim = encoder.output_dim + source_encoder.output_dim

    def forward(self, tokens: Tensor, source: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of ``tokens`` ``(N, T)`` and ``source`` ``(N, S)``.

        :raises UserError: without a source.
        """
        if source is None:
            raise UserError("this encoder reads a source too: call it with tokens and source")
        return torch.cat([self.encoder(tokens), self.source_encoder(source)], -1)
