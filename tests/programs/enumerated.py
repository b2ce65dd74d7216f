# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A label that is observed, observed in part, or latent and marked to be summed out."""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import nn

NUM_LABELS = 3
MARK = {"enumerate": "parallel"}


class EnumeratedVAE(PyroModule):
    """y ~ Categorical, z | y ~ N(loc_y, I), x ~ p(x | z, e_y); labels may be given, -1 where not.

    :param obs_mask: whether the label goes through Pyro's ``obs_mask``; else it is given to all or
        to none.
    :param after: whether y is drawn after z, from a classifier of z.
    """

    def __init__(self, decoder, latent_dim, *, obs_mask=False, after=False):
        super().__init__("model")
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.obs_mask = obs_mask
        self.after = after
        self.label = nn.Embedding(NUM_LABELS, 2)
        self.loc = nn.Embedding(NUM_LABELS, latent_dim)
        self.logits = nn.Parameter(torch.tensor([0.3, -0.5, 0.2]))
        self.classifier = nn.Linear(latent_dim, NUM_LABELS)

    def of_label(self, labels, logits):
        if labels is None or not self.obs_mask:
            return pyro.sample("y", dist.Categorical(logits=logits), obs=labels)
        given = labels >= 0
        return pyro.sample(
            "y", dist.Categorical(logits=logits), obs=labels.clamp(min=0), obs_mask=given
        )

    def forward(self, tokens=None, labels=None, *, size=None):
        zero = self.loc.weight.new_zeros(self.latent_dim)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            if self.after:
                z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
                y = self.of_label(labels, self.classifier(z))
            else:
                y = self.of_label(labels, self.logits)
                z = pyro.sample("z", dist.Normal(self.loc(y), 1.0).to_event(1))
            label = self.label(y)
            shape = torch.broadcast_shapes(z.shape[:-1], label.shape[:-1])
            both = torch.cat([z.expand(*shape, -1), label.expand(*shape, -1)], -1)
            return pyro.sample("x", self.decoder(both), obs=tokens)


class EnumeratedGuide(PyroModule):
    """q(y | x) q(z | x, y), or q(z | x, y) alone where labels are given to all.

    :param obs_mask: whether labels are given to some: y is ``y_unobserved`` then, masked.
    :param after: whether y is drawn after z, given it.
    """

    def __init__(self, encoder, latent_dim, *, obs_mask=False, after=False, mark=True):
        super().__init__("guide")
        self.encoder = encoder
        self.obs_mask = obs_mask
        self.after = after
        self.infer = MARK if mark else {}
        self.y = nn.Linear(encoder.output_dim, NUM_LABELS)
        self.z = nn.Linear(encoder.output_dim + NUM_LABELS, 2 * latent_dim)
        self.of_z = nn.Linear(latent_dim, NUM_LABELS)

    def of_label(self, labels, logits):
        y = dist.Categorical(logits=logits)
        if labels is None:
            return pyro.sample("y", y, infer=self.infer)
        if not self.obs_mask:
            return labels
        with poutine.mask(mask=labels < 0):
            drawn = pyro.sample("y_unobserved", y, infer=self.infer)
        return torch.where(labels < 0, drawn, labels)

    def forward(self, tokens, labels=None, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            if self.after:
                z = pyro.sample("z", self.latent(features, torch.zeros(()).long()))
                self.of_label(labels, self.y(features) + self.of_z(z))
            else:
                y = self.of_label(labels, self.y(features))
                pyro.sample("z", self.latent(features, y))

    def latent(self, features, y):
        label = nn.functional.one_hot(y, NUM_LABELS).to(features)
        shape = torch.broadcast_shapes(features.shape[:-1], label.shape[:-1])
        both = torch.cat([features.expand(*shape, -1), label.expand(*shape, -1)], -1)
        loc, log_scale = self.z(both).chunk(2, -1)
        return dist.Normal(loc, (0.3 * log_scale).exp()).to_event(1)
