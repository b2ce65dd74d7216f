# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.nn import BagOfWordsEncoder, LSTMDecoder


class ConditionalVAE(PyroModule):
    """z ~ N(loc(source), scale(source)), x ~ p(x | z, source), of which z is no more than a part.

    The decoder is given z and the features of the source as one vector.
    """

    def __init__(self, vocab_size, max_length, embedding_dim, hidden_dim, latent_dim):
        super().__init__("model")
        self.source_encoder = BagOfWordsEncoder(vocab_size, embedding_dim, hidden_dim)
        self.prior = nn.Linear(hidden_dim, 2 * latent_dim)
        self.decoder = LSTMDecoder(
            vocab_size=vocab_size,
            embedding_dim=embedding_dim,
            hidden_dim=hidden_dim,
            latent_dim=latent_dim + hidden_dim,
            max_length=max_length,
        )

    def forward(self, source, tokens=None):
        features = self.source_encoder(source)
        with pyro.plate("data", len(source)):
            loc, log_scale = self.prior(features).chunk(2, -1)
            z = pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            return pyro.sample("x", self.text(z, features), obs=tokens)

    def text(self, z, features):
        """p(x | z, source)."""
        return self.decoder(torch.cat([z, features.expand(*z.shape[:-1], -1)], -1))


class ConditionalGuide(PyroModule):
    """q(z | x, source)."""

    def __init__(self, vocab_size, embedding_dim, hidden_dim, latent_dim):
        super().__init__("guide")
        self.encoder = BagOfWordsEncoder(vocab_size, embedding_dim, hidden_dim)
        self.source_encoder = BagOfWordsEncoder(vocab_size, embedding_dim, hidden_dim)
        self.z = nn.Linear(2 * hidden_dim, 2 * latent_dim)

    def forward(self, tokens, source):
        with pyro.plate("data", len(tokens)):
            features = torch.cat([self.encoder(tokens), self.source_encoder(source)], -1)
            loc, log_scale = self.z(features).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
