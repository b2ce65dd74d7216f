# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A topic model: each sentence mixes topics, which are one matrix for the whole corpus.

topics_k ~ Dirichlet(1), outside the plate "data"; z_n ~ N(0, I); every word of sentence n, and its
end, ~ Categorical(softmax(z_n, 0) @ topics). There is a topic more than ``latent_dim``.

pyro-textvae train --model topic_model.py:TopicModel --guide topic_model.py:TopicGuide
--encoder bag_of_words --data letters
"""

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.special_tokens import FIRST_EMITTED


class UnorderedWords:
    """Every word from the distribution that is given as its context, whatever came before."""

    def __init__(self, vocab_size):
        self.vocab_size = vocab_size

    def token_log_prob(self, tokens, mask, context):
        shape = torch.broadcast_shapes(tokens.shape[:-1], context.batch_shape)
        classes = (tokens - FIRST_EMITTED).expand(*shape, -1)
        return torch.where(mask, context.z.expand(*shape, -1).gather(-1, classes), 0.0)

    def initial_state(self, context):
        return ()

    def step(self, previous, state, context):
        return context.z, state


class TopicModel(PyroModule):
    def __init__(self, latent_dim, vocab_size, max_length):
        super().__init__()
        self.words, self.max_length = UnorderedWords(vocab_size), max_length
        self.register_buffer("prior", torch.ones(latent_dim + 1, vocab_size - FIRST_EMITTED))

    def forward(self, tokens=None, *, size=None):
        topics = pyro.sample("topics", dist.Dirichlet(self.prior).to_event(1))
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample(
                "z", dist.Normal(self.prior.new_zeros(len(topics) - 1), 1.0).to_event(1)
            )
            log_prob = (F.pad(z, (0, 1)).softmax(-1) @ topics).log()
            text = AutoregressiveCategorical(self.words, log_prob, self.max_length)
            return pyro.sample("x", text, obs=tokens)


class TopicGuide(GaussianGuide):
    def __init__(self, encoder, latent_dim, vocab_size):
        super().__init__(encoder, latent_dim)
        self.log_concentration = nn.Parameter(
            torch.rand(latent_dim + 1, vocab_size - FIRST_EMITTED)
        )

    def forward(self, tokens):
        pyro.sample("topics", dist.Dirichlet(self.log_concentration.exp()).to_event(1))
        return super().forward(tokens)
