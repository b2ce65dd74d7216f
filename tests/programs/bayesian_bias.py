# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A global latent that is a Bayesian weight, with or without latents of the sentences."""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule, PyroSample
from pyro.nn.module import to_pyro_module_
from torch import nn

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.nn import GRUDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal

SIZES = {"vocab_size": 9, "embedding_dim": 3, "hidden_dim": 4}
BIAS = "model.decoder.token_scores.bias"


class BiasGuide(PyroModule):
    """q(bias) Gaussian, and what another guide says of the sentences."""

    def __init__(self, other=None):
        super().__init__("guide")
        self.other = other
        self.loc = nn.Parameter(torch.linspace(-1, 1, 7))
        self.log_scale = nn.Parameter(torch.full((7,), -0.5))

    def forward(self, tokens):
        pyro.sample(BIAS, dist.Normal(self.loc, self.log_scale.exp()).to_event(1))
        if self.other is not None:
            self.other(tokens)


def bayesian_bias(*, latent):
    """A sentence VAE, or a language model, and its guide, in evaluation mode."""
    torch.manual_seed(0)
    decoder = GRUDecoder(**SIZES, latent_dim=2 if latent else 0, max_length=6)
    to_pyro_module_(decoder)
    prior = PyroSample(lambda self: dist.Normal(self.weight.new_zeros(7), 1.0).to_event(1))
    decoder.token_scores.bias = prior
    if not latent:
        return LanguageModel(decoder).eval(), BiasGuide().eval()
    model = SentenceVAE(StandardNormal(2), decoder)
    return model.eval(), BiasGuide(GaussianGuide(LSTMEncoder(**SIZES), 2)).eval()
