# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A layer that adds to every state what it finds in a source."""

from __future__ import annotations

from torch import Tensor, nn

from pyro_textvae.distributions import Memory
from pyro_textvae.nn.source_attention import SourceAttention


class SourceLayer(nn.Module):
    """Attention to a source behind a layer norm, added to its input: one stands after each block.

    >>> import torch
    >>> layer = SourceLayer(state_dim=8, memory_dim=6, dropout=0.0)
    >>> ids = torch.tensor([[4, 5, 2], [6, 2, 0]])
    >>> memory = Memory(torch.randn(2, 3, 6), mask=ids > 0, ids=ids)
    >>> layer(torch.randn(10, 2, 7, 8), memory).shape
    torch.Size([10, 2, 7, 8])

    Source: Vaswani et al. (2017), Attention Is All You Need, https://arxiv.org/abs/1706.03762: its
    decoder attends to the source in every layer.

    :param dropout: rate on what is added, in training.
    """

    def __init__(self, state_dim: int, memory_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(state_dim)
        self.attention = SourceAttention(state_dim, memory_dim)
        self.output = nn.Linear(memory_dim, state_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, memory: Memory) -> Tensor:
        """States ``(*R, T, H)`` of ``(*B, T, H)``, R being B broadcast with the memory's shape."""
        found, _ = self.attention(self.norm(hidden), memory)
        return hidden + self.dropout(self.output(found))
