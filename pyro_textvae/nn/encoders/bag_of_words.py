# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A bag-of-words encoder: the mean of the word embeddings."""

from __future__ import annotations

from torch import Tensor, nn

from pyro_textvae.nn.checks import check_rates, check_sizes
from pyro_textvae.nn.encoder import EmbeddingEncoder


class BagOfWordsEncoder(EmbeddingEncoder):
    """Maps sentences to a feed-forward network of the mean of their word embeddings.

    The order of the words is lost, and of their number only the weight of ``<eos>``, one of the
    words, is left. Biases start at zero: the mean of a sentence is small beside the usual ones, and
    most units would start on the same side of their bend for every sentence.

    >>> import torch
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> encoder(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 8])

    Source: Iyyer et al. (2015), Deep Unordered Composition Rivals Syntactic Methods for Text
    Classification, https://aclanthology.org/P15-1162/, for the deep averaging network. It drops
    whole words from the mean; here dropout is of entries.

    :param num_layers: linear layers with a ReLU.
    :param dropout: rate on the entries of each layer's input.
    :raises ValueError: for a size or a rate out of range, by its name.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        *,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        check_sizes(hidden_dim=hidden_dim, num_layers=num_layers)
        check_rates(dropout=dropout)
        super().__init__(vocab_size, embedding_dim)
        self.hidden_dim = self.output_dim = hidden_dim
        self.num_layers = num_layers
        self.memory_dim = embedding_dim
        widths = [embedding_dim, *[hidden_dim] * (num_layers - 1)]
        layers = [nn.Linear(width, hidden_dim) for width in widths]
        for layer in layers:
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(dropout)

    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)``; see ``Encoder``."""
        if mask is None:
            features = embeddings.mean(1)
        else:
            real = embeddings.masked_fill(~mask.unsqueeze(-1), 0.0)
            features = real.sum(1) / mask.sum(1, keepdim=True)
        for layer in self.layers:
            features = layer(self.dropout(features)).relu()
        return features

    def states(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """The embeddings themselves; see ``Encoder``."""
        return embeddings

    def features(self, states: Tensor, mask: Tensor) -> Tensor:
        """As :meth:`encode_embeddings`; see ``Encoder``."""
        return self.encode_embeddings(states, mask)
