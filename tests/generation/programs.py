# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs whose text stands on something besides z, has a second plate, or is no sequence."""

from contextlib import contextmanager

import pyro
import pyro.distributions as dist
import torch
from torch import nn


class ConditionalModel(nn.Module):
    """z ~ N(0, 1), (N, 2); x from the decoder at z plus what the source's first id stands for."""

    def __init__(self, decoder, vocab_size):
        super().__init__()
        self.decoder = decoder
        self.shift = nn.Embedding(vocab_size, 2).double()
        with torch.no_grad():
            self.shift.weight.mul_(4.0)

    def forward(self, source, tokens=None):
        with pyro.plate("data", len(source)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z + self.shift(source[:, 0])), obs=tokens)


class ConditionalGuide(nn.Module):
    """A posterior that stands on the sentence and on its source."""

    def __init__(self, encoder, vocab_size):
        super().__init__()
        self.encoder = encoder
        self.loc = nn.Linear(encoder.output_dim, 2).double()
        self.shift = nn.Embedding(vocab_size, 2).double()

    def forward(self, source, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(self.posterior_mean(source, tokens), 0.3).to_event(1))

    def posterior_mean(self, source, tokens):
        return self.loc(self.encoder(tokens)) + self.shift(source[:, 0])


class Conversation(nn.Module):
    """One z for each turn of each datum, and its text ``(N, turns, T)``.

    With ``data_dim=-1`` the plate of the turns is the outer dimension: ``(turns, N, ...)``.
    """

    def __init__(self, decoder, turns, data_dim):
        super().__init__()
        self.decoder, self.turns, self.data_dim = decoder, turns, data_dim

    def forward(self, *, size=None):
        with both_plates(size, self.turns, self.data_dim):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z))


class ConversationGuide(nn.Module):
    """z of each turn at the mean of its ids."""

    def __init__(self, turns, data_dim):
        super().__init__()
        self.turns, self.data_dim = turns, data_dim

    def forward(self, tokens):
        mean = tokens.double().mean(-1, keepdim=True) - 3.0
        if self.data_dim == -1:
            mean = mean.transpose(0, 1)
        with both_plates(len(tokens), self.turns, self.data_dim):
            pyro.sample("z", dist.Normal(mean.expand(*mean.shape[:-1], 2), 0.1).to_event(1))


@contextmanager
def both_plates(size, turns, data_dim):
    with (
        pyro.plate("data", size, dim=data_dim),
        pyro.plate("turns", turns, dim=-3 - data_dim),
    ):
        yield


class Numbers(nn.Module):
    """A model whose text is a number, not a sequence."""

    def forward(self, tokens=None, *, size=None):
        size = size if tokens is None else len(tokens)
        with pyro.plate("data", size):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            return pyro.sample("x", dist.Normal(z.sum(-1), 0.1), obs=tokens)
