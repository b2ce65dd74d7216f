# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn

NUM_LABELS = 4


class LabelledVAE(PyroModule):
    """y ~ Categorical(1/4), z ~ N(0, I), x ~ p(x | z, e_y): the decoder is given both."""

    def __init__(self, decoder, latent_dim, label_dim=2):
        super().__init__("model")
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.label = nn.Embedding(NUM_LABELS, label_dim)

    @staticmethod
    def decoder_latent_dim(latent_dim, label_dim=2):
        return latent_dim + label_dim

    def forward(self, tokens=None, *, size=None):
        zero = self.label.weight.new_zeros(self.latent_dim)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = pyro.sample("y", dist.Categorical(logits=zero.new_zeros(NUM_LABELS)))
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            label = self.label(y).expand(*z.shape[:-1], -1)
            return pyro.sample("x", self.decoder(torch.cat([z, label], -1)), obs=tokens)


class LabelledGuide(PyroModule):
    """q(y | x) q(z | x)."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.y = nn.Linear(encoder.output_dim, NUM_LABELS)
        self.z = nn.Linear(encoder.output_dim, 2 * latent_dim)

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            pyro.sample("y", dist.Categorical(logits=self.y(features)))
            loc, log_scale = self.z(features).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
