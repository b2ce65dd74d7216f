# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A decoder as a user may bring it: an LSTM over every row, all scores at once, nothing shared."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical, Context
from pyro_textvae.nn import LSTMDecoder
from pyro_textvae.special_tokens import BOS, FIRST_EMITTED


class HandWrittenDecoder(nn.Module):
    """The network of an ``LSTMDecoder``, by the least that a decoder has to do.

    :param like: whose weights it takes.
    """

    def __init__(self, like: LSTMDecoder) -> None:
        super().__init__()
        self.vocab_size = like.vocab_size
        self.max_length = like.max_length
        self.embedding = like.embedding
        self.lstm = like.lstm
        self.initial_cell = like.initial_cell
        self.scores = like.token_scores

    def forward(self, z: Tensor) -> AutoregressiveCategorical:
        """The distribution of a sentence given ``z`` ``(..., latent_dim)``."""
        return AutoregressiveCategorical(self, z, self.max_length)

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """See ``SequenceNetwork``: each row of tokens under each z, copied as often as needed."""
        z = context.z
        assert z is not None
        shape = torch.broadcast_shapes(tokens.shape[:-1], z.shape[:-1])
        length = tokens.shape[-1]
        copies = tokens.expand(*shape, length).reshape(-1, length)
        z = z.expand(*shape, z.shape[-1]).reshape(len(copies), -1)
        previous = torch.cat([torch.full_like(copies[:, :1], BOS), copies[:, :-1]], 1)
        inputs = torch.cat([self.embedding(previous), z.unsqueeze(1).expand(-1, length, -1)], -1)
        cell = self.initial_cell(z).unsqueeze(0)
        hidden, _ = self.lstm(inputs, (cell.tanh(), cell))
        losses = F.cross_entropy(
            self.scores(hidden).flatten(0, 1),
            (copies - FIRST_EMITTED).flatten(),
            reduction="none",
        )
        return torch.where(mask, -losses.view(*shape, length), 0.0)

    def initial_state(self, context: Context) -> Any:
        """Not needed to score."""
        raise NotImplementedError

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Not needed to score."""
        raise NotImplementedError
