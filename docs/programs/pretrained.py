# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A pre-trained language model that is told a source and z: GPT-2 reads the source as a prompt.

The models are folders of ``save_pretrained``, here ``gpt2`` and ``bert``.

pyro-textvae train --model pretrained.py:PromptedVAE --guide pretrained.py:PromptedGuide
    --data letters --source-column question --tokenizer hf:gpt2 --decoder hf:gpt2 --encoder hf:bert
    --options '{"prompt": true, "decoder_fine_tuning": "none", "encoder_fine_tuning": "lora"}'
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class PromptedVAE(PyroModule):
    """z ~ N(loc(source), scale(source)^2), x ~ p(x | source, z), both by a pre-trained decoder."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.prior = nn.Linear(decoder.embedding_dim, 2 * latent_dim)

    def forward(self, source, tokens=None):
        memory = self.decoder.read(source)  # the words' embeddings; read once for all draws of z
        words = memory.mask.unsqueeze(-1)
        features = (memory.states * words).sum(-2) / words.sum(-2)
        with pyro.plate("data", len(source)):
            loc, log_scale = self.prior(features).chunk(2, -1)
            z = pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
            return pyro.sample("x", self.decoder(z, memory), obs=tokens)


class PromptedGuide(PyroModule):
    """q(z | x, source), by one encoder of both."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.posterior = nn.Linear(2 * encoder.output_dim, 2 * latent_dim)

    def forward(self, tokens, source):
        features = torch.cat([self.encoder(tokens), self.encoder(source)], -1)
        with pyro.plate("data", len(tokens)):
            loc, log_scale = self.posterior(features).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))
