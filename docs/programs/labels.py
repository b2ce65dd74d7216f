# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences with a label, which is a latent of the sentences where it is not given.

pyro-textvae train --model labels.py:LabelVAE --guide labels.py:LabelGuide
    --data letters --label-column mood --objective beta_elbo

Objectives: beta_elbo, wake_sleep, thermodynamic_elbo.
Refused: --objective semi_amortised_elbo: is marked enumerate in the guide
Refused: compare: are of the text and of 'y_observed' together
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class LabelVAE(PyroModule):
    """y ~ Categorical(1/2), z ~ N(0, I), x ~ p(x | z, e_y)."""

    def __init__(self, decoder, latent_dim, num_labels=2, label_dim=2):
        super().__init__("model")
        self.decoder = decoder
        self.embedding = nn.Embedding(num_labels, label_dim)
        self.latent_dim = latent_dim

    @staticmethod
    def decoder_latent_dim(latent_dim, label_dim=2):
        return latent_dim + label_dim  # the decoder is given z and e_y as one vector

    def forward(self, labels, tokens=None):
        zeros = self.embedding.weight.new_zeros
        with pyro.plate("data", len(labels)):
            kind = dist.Categorical(logits=zeros(len(self.embedding.weight)))
            y = pyro.sample("y", kind, obs=labels.clamp(min=0), obs_mask=labels >= 0)
            z = pyro.sample("z", dist.Normal(zeros(self.latent_dim), 1.0).to_event(1))
            e_y = self.embedding(y)
            shape = torch.broadcast_shapes(z.shape[:-1], y.shape)
            given = torch.cat([z.expand(*shape, -1), e_y.expand(*shape, -1)], -1)
            return pyro.sample("x", self.decoder(given), obs=tokens)


class LabelGuide(PyroModule):
    """q(y | x) where the label is not given, q(z | x)."""

    def __init__(self, encoder, latent_dim, num_labels=2):
        super().__init__("guide")
        self.encoder = encoder
        self.y = nn.Linear(encoder.output_dim, num_labels)
        self.z = nn.Linear(encoder.output_dim, 2 * latent_dim)

    def forward(self, tokens, labels):
        features = self.encoder(tokens)
        with pyro.plate("data", len(tokens)):
            with pyro.poutine.mask(mask=labels < 0):
                kind = dist.Categorical(logits=self.y(features))
                pyro.sample("y_unobserved", kind, infer={"enumerate": "parallel"})
            loc, log_scale = self.z(features).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
