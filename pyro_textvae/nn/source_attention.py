# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Attention of a decoder's states to an encoded source."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import Memory
from pyro_textvae.distributions.context import SharedMemory
from pyro_textvae.nn.checks import check_sizes


class SourceAttention(nn.Module):
    r"""What each state finds in the memory of a source, and where.

    .. math::
        a_{ts} = \operatorname{softmax}_s\!\left(m_s^\top Q h_t / \sqrt{H_m}\right), \qquad
        c_t = \sum_s a_{ts}\, m_s

    A place of the memory is its own key and value, so nothing is computed of the source alone, and
    the states of N sources serve K draws of z each without a copy of them.

    >>> ids = torch.tensor([[4, 5, 2], [6, 2, 0]])
    >>> memory = Memory(torch.randn(2, 3, 6), mask=ids > 0, ids=ids)
    >>> attention = SourceAttention(state_dim=8, memory_dim=6)
    >>> found, weights = attention(torch.randn(10, 2, 7, 8), memory)
    >>> found.shape, weights.shape
    (torch.Size([10, 2, 7, 6]), torch.Size([10, 2, 7, 3]))

    Source: Luong et al. (2015), Effective Approaches to Attention-based Neural Machine Translation,
    https://aclanthology.org/D15-1166/, its "general" score.

    :param state_dim: width of the states that look.
    :param memory_dim: width of the memory's states.
    """

    def __init__(self, state_dim: int, memory_dim: int) -> None:
        check_sizes(state_dim=state_dim, memory_dim=memory_dim)
        super().__init__()
        self.query = nn.Linear(state_dim, memory_dim, bias=False)

    def forward(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """What the states find and the weights of the source's places, zero at padding.

        :param hidden: ``(*R, T, state_dim)``, where the memory's batch shape broadcasts to R.
        :returns: ``(*R, T, memory_dim)`` and ``(*R, T, S)``.
        """
        rows = torch.broadcast_shapes(hidden.shape[:-2], memory.batch_shape)
        hidden = hidden.expand(rows + hidden.shape[-2:])
        shared = len(rows) - len(memory.batch_shape)
        if rows[shared:] != memory.batch_shape:
            memory, shared = memory.expand(rows), 0
        memory = memory.flatten()
        groups = memory.groups if isinstance(memory, SharedMemory) else None
        query = self.query(hidden)
        # (K, N, T, H): the draws that share a source side by side, so that its states stay one.
        if isinstance(memory, SharedMemory) and groups is not None:
            memory = memory.sources
            query = query.reshape(rows.numel(), *query.shape[-2:])[groups[0]]
        else:
            query = query.reshape(rows[:shared].numel(), len(memory.ids), *query.shape[-2:])
        scores = torch.einsum("knth,nsh->knts", query, memory.states) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~memory.mask.unsqueeze(-2), -torch.inf)
        weights = scores.softmax(-1)
        found = torch.einsum("knts,nsh->knth", weights, memory.states)
        if groups is not None:
            found, weights = (part.flatten(0, 1)[groups[1]] for part in (found, weights))
        return found.reshape(rows + found.shape[-2:]), weights.reshape(rows + weights.shape[-2:])
