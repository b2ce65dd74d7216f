# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentence before each sentence of a document, as a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.encoder import Encoder
from pyro_textvae.nn.features_of_sentences import features_of_sentences


class SentenceBefore(nn.Module):
    """tanh(W e_{s-1}) for the features e of the sentence before; a vector of its own for none.

    >>> from pyro_textvae.nn import GRUEncoder
    >>> before = SentenceBefore(GRUEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8), 5)
    >>> before.of_each(torch.tensor([[[4, 5, 2], [6, 2, 0]]])).shape
    torch.Size([1, 2, 5])

    :param encoder: of a sentence.
    :param output_dim: size of the vector.
    """

    def __init__(self, encoder: Encoder, output_dim: int) -> None:
        check_sizes(output_dim=output_dim)
        super().__init__()
        self.encoder = encoder
        self.vector = nn.Linear(encoder.output_dim, output_dim)
        self.none = nn.Parameter(torch.zeros(output_dim))

    def of_each(self, tokens: Tensor) -> Tensor:
        """The vector before each sentence of ``tokens`` ``(N, S, T)``; ``(N, S, output_dim)``."""
        first = self.of_none().expand(len(tokens), 1, -1)
        return torch.cat([first, self.of(tokens[:, :-1])], -2) if tokens.shape[1] > 1 else first

    def of(self, tokens: Tensor) -> Tensor:
        """The vector after each sentence of ``tokens`` ``(N, S, T)``."""
        features = features_of_sentences(self.encoder, tokens)
        after: Tensor = self.vector(features).tanh()
        return after

    def of_none(self) -> Tensor:
        """The vector before the first sentence, ``(1, 1, output_dim)``."""
        return self.none.tanh().expand(1, 1, -1)

    def beside(self, v: Tensor, before: Tensor) -> Tensor:
        """The vectors ``v`` ``(*B, N, S, P)`` of sentences, each with that of the one before."""
        shape = torch.broadcast_shapes(v.shape[:-1], before.shape[:-1])
        return torch.cat([each.expand(*shape, -1) for each in (v, before)], -1)
