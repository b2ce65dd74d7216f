# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A ladder of two latents: the upper one says what the lower one is about.

pyro-textvae train --model ladder.py:LadderVAE --guide ladder.py:LadderGuide --data letters
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


def gaussian(parameters):
    """A vector of independent coordinates, from their means and their scales before softplus."""
    loc, scale = parameters.chunk(2, -1)
    return dist.Normal(loc, nn.functional.softplus(scale)).to_event(1)


class LadderVAE(PyroModule):
    """z_2 ~ N(0, I), z_1 ~ N(loc(z_2), scale(z_2)^2), x ~ p(x | z_1)."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.below = nn.Linear(latent_dim, 2 * latent_dim)

    def forward(self, tokens=None, *, size=None):
        zeros = self.below.weight.new_zeros(self.below.in_features)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z_2 = pyro.sample("z_2", dist.Normal(zeros, 1.0).to_event(1))
            z_1 = pyro.sample("z_1", gaussian(self.below(z_2)))
            return pyro.sample("x", self.decoder(z_1), obs=tokens)


class LadderGuide(PyroModule):
    """q(z_2 | x) q(z_1 | z_2, x)."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.top = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.below = nn.Linear(encoder.output_dim + latent_dim, 2 * latent_dim)

    def forward(self, tokens):
        features = self.encoder(tokens)
        with pyro.plate("data", len(tokens)):
            z_2 = pyro.sample("z_2", gaussian(self.top(features)))
            features = features.expand(*z_2.shape[:-1], -1)  # as many as there are draws of z_2
            pyro.sample("z_1", gaussian(self.below(torch.cat([features, z_2], -1))))
