# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents of sentences: a latent for the document, and one for each of its sentences.

A document of the corpus is one text with a bar between its sentences, such as ``a b | c``.

pyro-textvae train --model document.py:DocumentVAE --guide document.py:DocumentGuide
    --data letters --text-column document
"""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.special_tokens import EOS, PAD

BAR = 4  # the id of the most frequent word, which the bar between sentences is


def sentences_of(tokens, most):
    """Sentences ``(N, S, T)`` of documents, and which there are, ``(N, S)``."""
    if tokens.dim() == 2:  # one text with bars
        last = (tokens == BAR) | (tokens == EOS)
        assert last.sum(-1).max() <= most, f"give num_sentences above {most} in --options"
        number = (last.cumsum(-1) - last.long()).where(tokens != PAD, most)  # of the sentence
        within = number.unsqueeze(1) == torch.arange(most, device=tokens.device).unsqueeze(-1)
        first = (~within).long().argsort(dim=-1, stable=True)
        tokens = tokens.unsqueeze(1).where(within, PAD).gather(-1, first)
        tokens = tokens.where(tokens != BAR, EOS)
    there = (tokens != PAD).any(-1)
    first = tokens[..., :1].where(there.unsqueeze(-1), EOS)  # what is masked must be a text, too
    return torch.cat([first, tokens[..., 1:]], -1), there


class DocumentVAE(PyroModule):
    """z ~ N(0, I); for each sentence s of the document z_s ~ N(W z, I), x_s ~ p(x | z_s)."""

    def __init__(self, decoder, latent_dim, num_sentences=2):
        super().__init__("model")
        self.decoder = decoder
        self.mean = nn.Linear(latent_dim, latent_dim, bias=False)
        self.num_sentences = num_sentences

    def forward(self, tokens=None, *, size=None):
        zeros = torch.zeros_like(self.mean.weight[0])
        words, there = None, zeros.new_ones(size or 0, self.num_sentences).bool()
        if tokens is not None:
            words, there = sentences_of(tokens, self.num_sentences)
        with pyro.plate("data", len(there), dim=-2):
            z = pyro.sample("z", dist.Normal(zeros, 1.0).to_event(1))
            with pyro.plate("sentences", there.shape[1], dim=-1), poutine.mask(mask=there):
                z_s = pyro.sample("z_s", dist.Normal(self.mean(z), 1.0).to_event(1))
                return pyro.sample("x", self.decoder(z_s).mask(there), obs=words)


class DocumentGuide(PyroModule):
    """q(z | all sentences), and for each q(z_s | x_s)."""

    def __init__(self, encoder, latent_dim, num_sentences=2):
        super().__init__("guide")
        self.encoder = encoder
        self.whole = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.sentence = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.num_sentences = num_sentences

    def forward(self, tokens):
        words, there = sentences_of(tokens, self.num_sentences)
        features = self.encoder(words.flatten(0, 1)).unflatten(0, there.shape)  # (N, S, H)
        with pyro.plate("data", len(there), dim=-2):
            total = (features * there.unsqueeze(-1)).sum(1, keepdim=True)  # (N, 1, H)
            loc, log_scale = self.whole(total).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            with pyro.plate("sentences", there.shape[1], dim=-1), poutine.mask(mask=there):
                loc, log_scale = self.sentence(features).chunk(2, -1)
                pyro.sample("z_s", dist.Normal(loc, log_scale.exp()).to_event(1))
