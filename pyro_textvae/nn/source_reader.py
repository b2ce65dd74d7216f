# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a decoder does with its source: attention after its last state, and copying."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.distributions import Memory
from pyro_textvae.nn.source_attention import SourceAttention
from pyro_textvae.special_tokens import FIRST_EMITTED


class SourceReader(nn.Module):
    r"""Joins a state with what it finds in the source; with copying, words may come from there.

    .. math::
        \tilde h_t = \tanh(W [h_t, c_t]), \qquad
        p(w) = g_t\, p_\text{vocabulary}(w \mid \tilde h_t) + (1 - g_t) \sum_{s : x_s = w} a_{ts},
        \quad g_t = \sigma(u^\top \tilde h_t + b)

    A mixture of two distributions over the vocabulary, so it sums to one whatever the source holds.
    Ids of the source beyond the vocabulary are words of it that can be copied alone: the mixture is
    over the vocabulary and these.

    >>> reader = SourceReader(state_dim=8, memory_dim=6, copying=True)
    >>> ids = torch.tensor([[4, 5, 2], [6, 2, 0]])
    >>> memory = Memory(torch.randn(2, 3, 6), mask=ids > 0, ids=ids)
    >>> hidden, weights = reader(torch.randn(2, 7, 8), memory)
    >>> mixed = reader.mixed_scores(torch.randn(2, 7, 9), hidden, weights, memory.ids)
    >>> torch.allclose(mixed.exp().sum(-1), torch.ones(2, 7))
    True

    Source: Luong et al. (2015), https://aclanthology.org/D15-1166/, for the joined state; See et
    al. (2017), Get To The Point, https://aclanthology.org/P17-1099/, for the mixture.

    :param copying: whether a word may be copied from the source.
    """

    def __init__(self, state_dim: int, memory_dim: int, copying: bool) -> None:
        super().__init__()
        self.attention = SourceAttention(state_dim, memory_dim)
        self.joined = nn.Linear(state_dim + memory_dim, state_dim)
        self.gate = nn.Linear(state_dim, 1) if copying else None

    def forward(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The joined states ``(*R, T, H)`` and weights of the source's places ``(*R, T, S)``."""
        found, weights = self.attention(hidden, memory)
        hidden = hidden.expand(found.shape[:-1] + hidden.shape[-1:])
        return torch.tanh(self.joined(torch.cat([hidden, found], -1))), weights

    def mixed_log_prob(
        self, log_prob: Tensor, hidden: Tensor, weights: Tensor, matches: Tensor
    ) -> Tensor:
        """Log-probability of words with those copied, in nats; ``log_prob`` itself without copying.

        :param log_prob: of each word by the vocabulary, ``(*B,)``; -inf for one beyond it.
        :param hidden: joined states, ``(*B, H)``.
        :param weights: of the source's places, ``(*B, S)``.
        :param matches: whether a place holds the word, ``(*B, S)``.
        """
        if self.gate is None:
            return log_prob
        gate = self.gate(hidden).squeeze(-1)
        # Where no place holds the word, a number too small to count, with no gradient.
        copied = (weights * matches).sum(-1).clamp(min=torch.finfo(weights.dtype).tiny).log()
        return torch.logaddexp(F.logsigmoid(gate) + log_prob, F.logsigmoid(-gate) + copied)

    def mixed_scores(self, scores: Tensor, hidden: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        """Scores of all words with those copied; ``scores`` themselves without copying.

        :param scores: of the vocabulary, ``(*B, V)``; class 0 is the first token that is emitted.
        :param ids: of the source, ``(*M, S)``, where M broadcasts to B less its last dimension.
        :returns: log-probabilities in nats, ``(*B, V)``; of more classes than V where sources hold
            words beyond the vocabulary, -inf for those that are not of the row's own source.
        """
        if self.gate is None:
            return scores
        gate = self.gate(hidden)
        ids = (ids - FIRST_EMITTED).clamp(min=0)
        size = scores.shape[-1]
        beyond = max(0, int(ids.max()) + 1 - size) if ids.numel() else 0
        while ids.dim() < weights.dim():
            ids = ids.unsqueeze(-2)
        copied = scores.new_zeros(*scores.shape[:-1], size + beyond)
        copied = copied.scatter_add(-1, ids.expand(weights.shape), weights)
        log_copied = copied.clamp(min=torch.finfo(weights.dtype).tiny).log()
        log_prob = scores.log_softmax(-1)
        if beyond:
            log_prob = F.pad(log_prob, (0, beyond), value=-torch.inf)
        mixed = torch.logaddexp(F.logsigmoid(gate) + log_prob, F.logsigmoid(-gate) + log_copied)
        if beyond:
            of_others = torch.zeros_like(copied, dtype=torch.bool)
            of_others[..., size:] = copied[..., size:] == 0
            mixed = mixed.masked_fill(of_others, -torch.inf)
        return mixed
