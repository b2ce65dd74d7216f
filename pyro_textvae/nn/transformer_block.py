# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One layer of a Transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_rates, check_sizes

KeysAndValues = tuple[Tensor, Tensor]
"""What attention finds places by and what it finds there, each ``(*B, heads, places, width)``."""


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward network of four times the width, each added to its input.

    The layer norms stand before the two, not after the sums, so that training needs no warm-up.
    There are no biases on queries, keys and values: one on keys would change no attention.

    >>> block = TransformerBlock(hidden_dim=8, num_heads=2, dropout=0.0)
    >>> hidden, (keys, values) = block(torch.zeros(3, 5, 8), is_causal=True)
    >>> hidden.shape, keys.shape
    (torch.Size([3, 5, 8]), torch.Size([3, 2, 5, 4]))

    Source: Vaswani et al. (2017), Attention Is All You Need, https://arxiv.org/abs/1706.03762;
    Xiong et al. (2020), On Layer Normalization in the Transformer Architecture,
    https://arxiv.org/abs/2002.04745.

    :param dropout: rate on what attention and feed-forward network add, in training.
    :raises ValueError: for a width that the heads cannot share.
    """

    def __init__(self, hidden_dim: int, num_heads: int, dropout: float) -> None:
        check_sizes(hidden_dim=hidden_dim, num_heads=num_heads)
        check_rates(layer_dropout=dropout)
        if hidden_dim % num_heads:
            raise ValueError(
                f"hidden_dim must be divisible by num_heads, got hidden_dim={hidden_dim} and "
                f"num_heads={num_heads}"
            )
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(hidden_dim)
        self.attention_input = nn.Linear(hidden_dim, 3 * hidden_dim, bias=False)
        self.attention_output = nn.Linear(hidden_dim, hidden_dim)
        self.feed_forward_norm = nn.LayerNorm(hidden_dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(hidden_dim, 4 * hidden_dim),
            nn.GELU(),
            nn.Linear(4 * hidden_dim, hidden_dim),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden: Tensor,
        past: KeysAndValues | None = None,
        *,
        mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> tuple[Tensor, KeysAndValues]:
        """The next layer's input, and the keys and values of all places.

        Where ``past`` has more rows than ``hidden``, as with several draws of z for one sentence,
        the queries, keys and values of ``hidden`` are computed once for all of them.

        :param hidden: ``(*B, T, H)``.
        :param past: keys and values of P places before these, ``(*S, heads, P, H / heads)``.
        :param mask: true where a place is seen, in the last dimension, from each of the T; for
            rows and heads to broadcast, ``(rows or 1, 1, T or 1, P + T)`` or ``(T, P + T)``.
        :param is_causal: in the mask's place, without ``past``: no place sees a later one.
        :returns: ``(*broadcast(B, S), T, H)``, and keys and values of the P + T places.
        """
        queries, keys, values = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)
            for part in self.attention_input(self.attention_norm(hidden)).chunk(3, -1)
        )
        if past is not None:
            keys, values = _after(past[0], keys), _after(past[1], values)
        attended = self.attention_output(_attention(queries, keys, values, mask, is_causal))
        hidden = hidden + self.dropout(attended)
        hidden = hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
        return hidden, (keys, values)


def _after(past: Tensor, present: Tensor) -> Tensor:
    rows = torch.broadcast_shapes(past.shape[:-2], present.shape[:-2])
    return torch.cat([part.expand(rows + part.shape[-2:]) for part in (past, present)], -2)


def _attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, is_causal: bool
) -> Tensor:
    """What each place finds, the heads side by side, ``(*broadcast, T, H)``."""
    rows = torch.broadcast_shapes(queries.shape[:-3], keys.shape[:-3])
    # The fast kernels take exactly one dimension of rows.
    queries, keys, values = (
        part.expand(rows + part.shape[-3:]).reshape(rows.numel(), *part.shape[-3:])
        for part in (queries, keys, values)
    )
    attended = F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=is_causal
    )
    attended = attended.transpose(-3, -2).flatten(-2)
    return attended.reshape(rows + attended.shape[-2:])
