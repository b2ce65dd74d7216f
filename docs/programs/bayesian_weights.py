# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A sentence VAE whose decoder has a prior on the biases of the vocabulary.

bias_w ~ N(0, 1), outside the plate "data"; z_n ~ N(0, I); x_n ~ decoder(z_n) with that bias. Any
other parameter becomes a latent in the same way, under the name of its place in the model.

pyro-textvae train --model bayesian_weights.py:BayesianBias
--guide bayesian_weights.py:BayesianBiasGuide --data letters
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroSample
from pyro.nn.module import to_pyro_module_
from torch import nn

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.special_tokens import FIRST_EMITTED

BIAS = "model.decoder.token_scores.bias"


class BayesianBias(SentenceVAE):
    def __init__(self, prior, decoder):
        to_pyro_module_(decoder)
        scores = decoder.token_scores
        zeros = torch.zeros_like(scores.bias)
        # A function of the module, so that it is where the other parameters are.
        scores.bias = PyroSample(
            lambda module: dist.Normal(zeros.to(module.weight), 1.0).to_event(1)
        )
        super().__init__(prior, decoder)


class BayesianBiasGuide(GaussianGuide):
    def __init__(self, encoder, latent_dim, vocab_size):
        super().__init__(encoder, latent_dim)
        self.bias_loc = nn.Parameter(torch.zeros(vocab_size - FIRST_EMITTED))
        self.bias_log_scale = nn.Parameter(torch.full_like(self.bias_loc, -2.0))

    def forward(self, tokens):
        pyro.sample(BIAS, dist.Normal(self.bias_loc, self.bias_log_scale.exp()).to_event(1))
        return super().forward(tokens)
