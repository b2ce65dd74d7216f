# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Transformer encoder: what its last layer holds, pooled over the words."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.encoder import EmbeddingEncoder
from pyro_textvae.nn.positions import sinusoidal_positions
from pyro_textvae.nn.transformer_block import TransformerBlock

_POOLINGS = ("attention", "mean")


class TransformerEncoder(EmbeddingEncoder):
    """Self-attention over all words of a sentence, then one vector for it.

    Layer norms before each part and one at the end, sinusoidal positions.

    >>> encoder = TransformerEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> encoder(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 8])

    Source: Vaswani et al. (2017), Attention Is All You Need, https://arxiv.org/abs/1706.03762.

    :param num_heads: heads of attention, which share ``hidden_dim``.
    :param pooling: ``"mean"`` over the words, or ``"attention"``: a mean with weights from a
        learned query, one for each head's part of the features.
    :param layer_dropout: rate on what each attention and each feed-forward network adds.
    :raises ValueError: for a ``hidden_dim`` that ``num_heads`` does not divide, an unknown pooling,
        and a size or a rate out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        pooling: Literal["attention", "mean"] = "attention",
        layer_dropout: float = 0.1,
    ) -> None:
        check_sizes(hidden_dim=hidden_dim, num_layers=num_layers)
        if pooling not in _POOLINGS:
            raise ValueError(f"pooling must be of {', '.join(_POOLINGS)}, got {pooling!r}")
        super().__init__(vocab_size, embedding_dim)
        self.hidden_dim = self.output_dim = self.memory_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.pooling = pooling
        self.layer_dropout = layer_dropout
        self.input = nn.Linear(embedding_dim, hidden_dim)
        self.blocks = nn.ModuleList(
            TransformerBlock(hidden_dim, num_heads, layer_dropout) for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(hidden_dim)
        self.queries = (
            nn.Linear(hidden_dim, num_heads, bias=False) if pooling == "attention" else None
        )

    def encode_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features ``(N, output_dim)`` of vectors ``(N, T, embedding_dim)``; see ``Encoder``."""
        return self.features(self.states(embeddings, mask), mask)

    def states(self, embeddings: Tensor, mask: Tensor | None) -> Tensor:
        """The last layer's states, ``(N, T, hidden_dim)``; see ``Encoder``."""
        # As long as positions are, or these would drown the words.
        hidden = self.input(embeddings * embeddings.shape[-1] ** 0.5)
        weight = self.input.weight
        hidden = hidden + sinusoidal_positions(
            0, hidden.shape[-2], self.output_dim, dtype=weight.dtype, device=weight.device
        )
        seen = None if mask is None else mask[:, None, None, :]
        for block in self.blocks:
            hidden, _ = block(hidden, mask=seen)
        return self.final_norm(hidden)

    def features(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """The states pooled over the words, ``(N, hidden_dim)``; see ``Encoder``."""
        if self.queries is None:
            scores = torch.zeros_like(states[..., :1])
        else:
            scores = self.queries(states)
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(-1), -torch.inf)
        weights = scores.softmax(-2)
        parts = states.unflatten(-1, (weights.shape[-1], -1))
        return (weights.unsqueeze(-1) * parts).sum(-3).flatten(-2)
