# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A sentence VAE whose prior is learned: z ~ N(loc, scale^2), x ~ p(x | z).

pyro-textvae train --model learned_prior.py:LearnedPriorVAE --data letters
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class LearnedPriorVAE(PyroModule):
    """p(z) p(x | z). The guide is the default one, q(z | x) Gaussian."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(self.loc, self.log_scale.exp()).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)
