# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A small decoder that attends to a source and adds to the scores of its words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import Context, Memory
from pyro_textvae.nn import Decoder, WordAndLatentInput

STATE_DIM = 6


class MemoryDecoder(Decoder):
    """Each word given the mean of those before, z, and what attention finds in the source."""

    takes_memory = True

    def __init__(self, vocab_size, latent_dim, max_length, embedding_dim=4):
        super().__init__(
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            state_dim=STATE_DIM,
            latent_dim=latent_dim,
            max_length=max_length,
        )
        self.input = WordAndLatentInput(embedding_dim, latent_dim, STATE_DIM)
        self.key = nn.Linear(STATE_DIM, STATE_DIM)
        self.copied = nn.Embedding(vocab_size, STATE_DIM)

    def unroll(self, inputs: Tensor, context: Context) -> Tensor:
        length = inputs.shape[-2]
        means = inputs.cumsum(-2) / torch.arange(1, length + 1).unsqueeze(-1)
        keys, values, mask = self._source(context.memory.distinct())
        return self._attend(self.input(means, context.z).tanh(), keys, values, mask)

    def initial_state(self, context: Context) -> dict[str, Tensor]:
        keys, values, mask = self._source(context.memory)
        (size,) = context.batch_shape
        total = keys.new_zeros(size, self.embedding.embedding_dim)
        places = torch.zeros(size, 1, dtype=torch.long)
        return {"keys": keys, "values": values, "mask": mask, "total": total, "places": places}

    def advance(self, inputs, state, context):
        total, places = state["total"] + inputs, state["places"] + 1
        hidden = self.input((total / places).unsqueeze(-2), context.z).tanh()
        hidden = self._attend(hidden, state["keys"], state["values"], state["mask"])
        return hidden.squeeze(-2), {**state, "total": total, "places": places}

    def _source(self, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        return self.key(memory.states), memory.states + self.copied(memory.ids), memory.mask

    @staticmethod
    def _attend(hidden, keys, values, mask):
        scores = (hidden @ keys.mT).masked_fill(~mask.unsqueeze(-2), -torch.inf)
        return hidden + scores.softmax(-1) @ values


def make_memory(*batch_shape, length=5, dtype=torch.float64):
    """Sources of different lengths, at least one word each."""
    ids = torch.randint(3, 6, (*batch_shape, length))
    lengths = torch.randint(1, length + 1, (*batch_shape, 1))
    mask = torch.arange(length) < lengths
    return Memory(torch.randn(*batch_shape, length, STATE_DIM, dtype=dtype), mask, ids * mask)
