# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A sentence is written by one of several networks: c says by which, and c is summed out.

pyro-textvae train --model several_decoders.py:SeveralDecodersVAE
    --guide several_decoders.py:EveryDecoder --decoder several_decoders.py:SeveralLSTMs
    --data letters

Refused: --objective semi_amortised_elbo: is marked enumerate in the guide
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.nn import Decoder


class SeveralLSTMs(Decoder):
    """LSTMs that share words and scores. Given z, and 1 at the place of the one that writes."""

    def __init__(
        self,
        vocab_size,
        embedding_dim,
        hidden_dim,
        latent_dim,
        max_length,
        *,
        num_decoders=2,
        embedding_dropout=0.0,
        output_dropout=0.0,
    ):
        super().__init__(
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            state_dim=hidden_dim,
            latent_dim=latent_dim,
            max_length=max_length,
            embedding_dropout=embedding_dropout,
            output_dropout=output_dropout,
        )
        self.sizes = [latent_dim - num_decoders, num_decoders]
        width = embedding_dim + self.sizes[0]
        lstms = (nn.LSTM(width, hidden_dim, batch_first=True) for _ in range(num_decoders))
        self.lstms = nn.ModuleList(lstms)
        self.cells = nn.Linear(self.sizes[0], num_decoders * hidden_dim)

    def unroll(self, inputs, context):
        shape = torch.broadcast_shapes(inputs.shape[:-2], context.batch_shape)
        context, length = context.expand(shape).flatten(), inputs.shape[-2]
        words = inputs.expand(*shape, -1, -1).reshape(shape.numel(), length, -1)
        hidden, _ = self.run(words, self.initial_state(context), context.z)
        return hidden.reshape(*shape, length, -1)

    def initial_state(self, context):
        z, chosen = context.z.split(self.sizes, -1)
        cell = (chosen.unsqueeze(-2) @ self.cells(z).unflatten(-1, (self.sizes[1], -1))).squeeze(-2)
        return cell.tanh(), cell

    def advance(self, inputs, state, context):
        hidden, state = self.run(inputs.unsqueeze(1), state, context.z)
        return hidden.squeeze(1), state

    def run(self, words, state, z):
        z, chosen = z.split(self.sizes, -1)
        words = torch.cat([words, z.unsqueeze(1).expand(-1, words.shape[1], -1)], -1)
        parts = [place.nonzero().squeeze(-1) for place in chosen.unbind(-1)]
        found = [
            (*lstm(words[rows], tuple(value[rows].unsqueeze(0) for value in state)), rows)
            for lstm, rows in zip(self.lstms, parts, strict=True)
            if len(rows)
        ]
        back = torch.cat([rows for *_, rows in found]).argsort()
        after = (torch.cat([pair[which][0] for _, pair, _ in found])[back] for which in (0, 1))
        return torch.cat([hidden for hidden, *_ in found])[back], tuple(after)


class SeveralDecodersVAE(PyroModule):
    """c ~ Categorical(1 / num_decoders), z ~ p(z), x ~ p_c(x | z)."""

    def __init__(self, prior, decoder, num_decoders=2):
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder
        self.register_buffer("weights", torch.ones(num_decoders), persistent=False)

    @staticmethod
    def decoder_latent_dim(latent_dim, num_decoders=2):
        return latent_dim + num_decoders

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            c = pyro.sample("c", dist.Categorical(self.weights), infer={"enumerate": "parallel"})
            z = pyro.sample("z", self.prior())
            chosen = nn.functional.one_hot(c, len(self.weights)).to(z.dtype)
            shape = torch.broadcast_shapes(z.shape[:-1], c.shape)
            given = torch.cat([z.expand(*shape, -1), chosen.expand(*shape, -1)], -1)
            return pyro.sample("x", self.decoder(given), obs=tokens)


class EveryDecoder(GaussianGuide):
    """q(c) q(z | x), q(c) being the prior of c: every network learns from every sentence."""

    def __init__(self, encoder, latent_dim, num_decoders=2):
        super().__init__(encoder, latent_dim)
        self.register_buffer("weights", torch.ones(num_decoders), persistent=False)

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("c", dist.Categorical(self.weights), infer={"enumerate": "parallel"})
            return pyro.sample("z", self.posterior(self.encoder(tokens)))
