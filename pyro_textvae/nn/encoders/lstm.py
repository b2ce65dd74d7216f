# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An LSTM encoder: the state after ``<eos>``."""

from __future__ import annotations

from torch import Tensor, nn

from pyro_textvae.distributions import sentence_mask
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.encoder import Encoder


class LSTMEncoder(Encoder):
    """Maps sentences to the top layer's hidden state at their last token."""

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        *,
        num_layers: int = 1,
    ) -> None:
        check_sizes(
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            vocab_size=vocab_size,
        )
        super().__init__()
        self.output_dim = hidden_dim
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, num_layers, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Features ``(N, output_dim)`` of right-padded ``tokens`` ``(N, T)``."""
        return self.encode_embeddings(self.embedding(tokens), sentence_mask(tokens))

    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)`` in the place of words.

        :param mask: true at the places that count, ``(N, T)``, from the left; by default all.
        """
        hidden, _ = self.lstm(embeddings)
        if mask is None:
            return hidden[:, -1]
        last = mask.sum(-1) - 1
        return hidden.take_along_dim(last[:, None, None], 1).squeeze(1)
