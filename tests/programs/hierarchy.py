# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class HierarchyVAE(PyroModule):
    """topic ~ N(0, I), z | topic ~ N(W topic, I), x ~ p(x | z)."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.mean = nn.Linear(2, latent_dim)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            zero = self.mean.weight.new_zeros(2)
            topic = pyro.sample("topic", dist.Normal(zero, 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(self.mean(topic), 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class HierarchyGuide(PyroModule):
    """q(topic | x) q(z | topic, x)."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.topic = nn.Linear(encoder.output_dim, 4)
        self.z = nn.Linear(encoder.output_dim + 2, 2 * latent_dim)

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            loc, log_scale = self.topic(features).chunk(2, -1)
            topic = pyro.sample("topic", dist.Normal(loc, log_scale.exp()).to_event(1))
            features = features.expand(*topic.shape[:-1], -1)
            loc, log_scale = self.z(torch.cat([features, topic], -1)).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
