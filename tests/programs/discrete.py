# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import nn

NUM_TOPICS = 3


class TopicVAE(PyroModule):
    """y ~ Categorical(1/3), z | y ~ N(loc_y, I), x ~ p(x | z)."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.loc = nn.Embedding(NUM_TOPICS, latent_dim)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = pyro.sample("y", dist.Categorical(logits=self.loc.weight.new_zeros(NUM_TOPICS)))
            z = pyro.sample("z", dist.Normal(self.loc(y), 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class TopicGuide(PyroModule):
    """q(y | x) q(z | x)."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.y = nn.Linear(encoder.output_dim, NUM_TOPICS)
        self.z = nn.Linear(encoder.output_dim, 2 * latent_dim)

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            pyro.sample("y", dist.Categorical(logits=self.y(features)))
            loc, log_scale = self.z(features).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
