# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A text given another one: an answer to a question, a sentence in another language.

pyro-textvae train --model pair.py:PairVAE --guide pair.py:PairGuide
    --data letters --source-column question
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class PairVAE(PyroModule):
    """z ~ N(loc(source), scale(source)^2), x ~ p(x | z, source)."""

    def __init__(self, decoder, encoder, latent_dim, hidden_dim):
        super().__init__("model")
        self.decoder = decoder
        self.encoder = encoder
        self.source = nn.Linear(encoder.output_dim, hidden_dim)
        self.prior = nn.Linear(hidden_dim, 2 * latent_dim)

    @staticmethod
    def decoder_latent_dim(latent_dim, hidden_dim):
        return latent_dim + hidden_dim  # the decoder is given z and what is read of the source

    def forward(self, source, tokens=None):
        read = self.source(self.encoder(source)).tanh()
        with pyro.plate("data", len(source)):
            loc, log_scale = self.prior(read).chunk(2, -1)
            z = pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            read = read.expand(*z.shape[:-1], -1)  # (K, N, ...) for K draws of z
            return pyro.sample("x", self.decoder(torch.cat([z, read], -1)), obs=tokens)


class PairGuide(PyroModule):
    """q(z | x, source)."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.z = nn.Linear(2 * encoder.output_dim, 2 * latent_dim)

    def forward(self, tokens, source):
        features = torch.cat([self.encoder(tokens), self.encoder(source)], -1)
        with pyro.plate("data", len(tokens)):
            loc, log_scale = self.z(features).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
