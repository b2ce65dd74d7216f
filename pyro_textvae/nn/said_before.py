# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What was said before each utterance of a conversation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.nn.checks import check_rates, check_sizes


class SaidBefore(nn.Module):
    """A recurrence over the features of utterances that begins at the conversation's vector.

    >>> before = SaidBefore(feature_dim=4, latent_dim=3, state_dim=5)
    >>> before(torch.zeros(2, 6, 4), torch.zeros(10, 2, 1, 3)).shape
    torch.Size([10, 2, 6, 5])

    :param feature_dim: width of the features of an utterance.
    :param latent_dim: size of the conversation's vector.
    :param state_dim: size of a state.
    :param dropout: rate at which the features of an utterance are zero, in training.
    """

    def __init__(
        self, feature_dim: int, latent_dim: int, state_dim: int, dropout: float = 0.0
    ) -> None:
        check_sizes(feature_dim=feature_dim, latent_dim=latent_dim, state_dim=state_dim)
        check_rates(utterance_dropout=dropout)
        super().__init__()
        self.begin = nn.Linear(latent_dim, state_dim)
        self.rnn = nn.GRU(feature_dim, state_dim, batch_first=True)
        self.dropout = dropout

    def forward(self, features: Tensor, d: Tensor) -> Tensor:
        """The state before each utterance, ``(*B, U, state_dim)``; none knows its own.

        :param features: of each utterance, ``(N, U, F)``.
        :param d: of the conversation, ``(*B, 1, latent_dim)``.
        """
        first = self.first(d)
        shape = first.shape[:-2]
        inputs = features[..., :-1, :].expand(*shape, -1, -1)
        if not inputs.shape[-2]:
            return first
        if self.training and self.dropout:
            dropped = torch.rand(inputs.shape[:-1], device=inputs.device) < self.dropout
            inputs = inputs.masked_fill(dropped.unsqueeze(-1), 0.0)
        states, _ = self.rnn(inputs.flatten(0, -3), first.reshape(1, -1, first.shape[-1]))
        return torch.cat([first, states.unflatten(0, shape)], -2)

    def first(self, d: Tensor) -> Tensor:
        """The state before the first utterance, ``(*B, 1, state_dim)``."""
        return self.begin(d).tanh()

    def step(self, features: Tensor, state: Tensor) -> Tensor:
        """The state after one more utterance, ``(*B, 1, state_dim)``; features ``(N, 1, F)``."""
        shape = state.shape[:-2]
        inputs = features.expand(*shape, -1, -1).flatten(0, -3)
        states = self.rnn(inputs, state.reshape(1, -1, state.shape[-1]))[0]
        return states.unflatten(0, shape)
