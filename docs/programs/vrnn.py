# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A latent for every word, from a state that has all words and latents before it.

pyro-textvae train --model vrnn.py:VRNN --guide vrnn.py:VRNNGuide --data letters

Refused: reconstruct: Greedy chooses tokens one by one
Refused: interpolate: Greedy chooses tokens one by one
"""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.special_tokens import EOS, PAD


def join(*parts):
    """Vectors side by side, each repeated for the draws of the others."""
    shape = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*shape, -1) for part in parts], -1)


class VRNN(PyroModule):
    """z_t ~ N(loc(h_t), scale(h_t)^2), x_t ~ p(x_t | z_t, h_t), h_t+1 = f(h_t, z_t, x_t)."""

    def __init__(self, vocab_size, max_length, embedding_dim, hidden_dim, latent_dim):
        super().__init__("model")
        self.max_length, self.hidden_dim = max_length, hidden_dim
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.prior = nn.Linear(hidden_dim, 2 * latent_dim)
        self.word = nn.Linear(hidden_dim + latent_dim, vocab_size - EOS)  # no id below is drawn
        self.state = nn.Linear(hidden_dim + latent_dim + embedding_dim, hidden_dim)

    def start(self, tokens=None, *, size=None):
        h = self.embedding.weight.new_zeros(size or len(tokens), self.hidden_dim)
        return h, h.new_ones(len(h)).bool(), h.new_full((len(h),), PAD).long()

    def step(self, state, t, tokens=None):
        h, going_on, _ = state
        seen = None if tokens is None else (tokens[:, t] - EOS).clamp(min=0)
        with poutine.mask(mask=going_on):  # nothing counts after <eos>
            loc, log_scale = self.prior(h).chunk(2, -1)
            z = pyro.sample(f"z_{t}", dist.Normal(loc, log_scale.exp()).to_event(1))
            word = dist.Categorical(logits=self.word(join(h, z)))
            x = EOS + pyro.sample(f"x_{t}", word, obs=seen)
        h = self.state(join(h, z, self.embedding(x))).tanh()
        return h, going_on & (x != EOS), torch.where(going_on, x, PAD)

    def forward(self, tokens=None, *, size=None):
        if tokens is not None:  # the same sites for every batch, whatever its width
            tokens = nn.functional.pad(tokens, (0, self.max_length - tokens.shape[1]), value=PAD)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            state, text = self.start(tokens, size=size), []
            for t in range(self.max_length):
                state = self.step(state, t, tokens)
                text.append(state[-1])
            return pyro.deterministic("x", torch.stack(text, -1), event_dim=1)


class VRNNGuide(PyroModule):
    """q(z_t | x), for each t by itself."""

    def __init__(self, encoder, max_length, latent_dim):
        super().__init__("guide")
        self.encoder, self.max_length = encoder, max_length
        self.z = nn.Linear(encoder.output_dim, max_length * 2 * latent_dim)

    def start(self, tokens):
        return self.z(self.encoder(tokens)).unflatten(-1, (self.max_length, -1))

    def step(self, state, t, tokens):
        with poutine.mask(mask=t < (tokens != PAD).sum(-1)):
            loc, log_scale = state[..., t, :].chunk(2, -1)
            pyro.sample(f"z_{t}", dist.Normal(loc, log_scale.exp()).to_event(1))
        return state

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            state = self.start(tokens)
            for t in range(self.max_length):
                state = self.step(state, t, tokens)
