# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences of several kinds: z is from the Gaussian of its kind c, and c is summed out.

pyro-textvae train --model mixture.py:MixtureVAE --data letters
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class MixtureVAE(PyroModule):
    """c ~ Categorical(weights), z ~ N(loc_c, scale_c^2), x ~ p(x | z)."""

    def __init__(self, decoder, latent_dim, num_components=2):
        super().__init__("model")
        self.decoder = decoder
        self.weights = nn.Parameter(torch.zeros(num_components))
        self.loc = nn.Parameter(torch.randn(num_components, latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(num_components, latent_dim))

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            kind = dist.Categorical(logits=self.weights)
            of_kind = dist.Normal(self.loc, self.log_scale.exp()).to_event(1)
            z = pyro.sample("z", dist.MixtureSameFamily(kind, of_kind))  # sum_c p(c) p(z | c)
            return pyro.sample("x", self.decoder(z), obs=tokens)
