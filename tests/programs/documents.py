# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents ``(N, S, T)`` of a corpus: a plate of sentences inside the plate of the data.

The number of sentences is a site of its own, observed where there is text. Rows of padding alone,
where a document has no further sentence, are masked.
"""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.distributions import scorable_rows


class DocumentVAE(PyroModule):
    """z ~ N(0, I); S - 1 ~ Categorical; for each sentence z_s ~ N(W z, I), x_s ~ p(x | z_s)."""

    def __init__(self, decoder, latent_dim, max_sentences):
        super().__init__("model")
        self.decoder = decoder
        self.mean = nn.Linear(latent_dim, latent_dim, bias=False)
        self.length_logits = nn.Parameter(torch.zeros(max_sentences))
        self.max_sentences = max_sentences

    def forward(self, tokens=None, *, size=None):
        rows = length = None
        if tokens is not None:
            rows, given = scorable_rows(tokens)
            length = given.sum(-1, keepdim=True) - 1
        num_data, num_sentences = (size, self.max_sentences) if rows is None else rows.shape[:2]
        with pyro.plate("data", num_data, dim=-2):
            zeros = torch.zeros_like(self.mean.weight[0])
            z = pyro.sample("z", dist.Normal(zeros, 1.0).to_event(1))
            lengths = dist.Categorical(logits=self.length_logits)
            length = pyro.sample("length", lengths, obs=length)
            given = self.given(length, num_sentences)
            with pyro.plate("sentences", num_sentences, dim=-1), poutine.mask(mask=given):
                z_s = pyro.sample("z_s", dist.Normal(self.mean(z), 1.0).to_event(1))
                return pyro.sample("x", self.decoder(z_s), obs=rows)

    def given(self, length, num_sentences):
        """Which sentences there are, ``(N, S)``."""
        return torch.arange(num_sentences, device=length.device) <= length


class DocumentGuide(PyroModule):
    """q(z | all sentences), q(z_s | z, its sentence)."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.z = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.z_s = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.from_z = nn.Linear(latent_dim, latent_dim, bias=False)

    def forward(self, tokens):
        rows, given = scorable_rows(tokens)
        features = self.encoder(rows.flatten(0, 1)).unflatten(0, given.shape)
        with pyro.plate("data", len(tokens), dim=-2):
            whole = (features * given.unsqueeze(-1)).sum(1, keepdim=True)
            loc, log_scale = self.z(whole).chunk(2, -1)
            z = pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            with pyro.plate("sentences", given.shape[1], dim=-1), poutine.mask(mask=given):
                loc, log_scale = self.z_s(features).chunk(2, -1)
                loc = loc + self.from_z(z)
                pyro.sample("z_s", dist.Normal(loc, log_scale.exp()).to_event(1))
