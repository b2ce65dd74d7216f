# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Discrete sites that are summed over: a component of the prior, and two classes of a sentence."""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn

SUM = {"enumerate": "parallel"}
NUM_COMPONENTS, NUM_SENTIMENTS, NUM_TOPICS = 4, 2, 3


class ComponentVAE(PyroModule):
    """c ~ Categorical, z | c ~ N(loc_c, I), x ~ p(x | z); no guide has c."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.logits = nn.Parameter(torch.zeros(NUM_COMPONENTS))
        self.loc = nn.Embedding(NUM_COMPONENTS, latent_dim)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            c = pyro.sample("c", dist.Categorical(logits=self.logits), infer=SUM)
            z = pyro.sample("z", dist.Normal(self.loc(c), 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class TwoClassVAE(PyroModule):
    """sentiment, topic | sentiment, z ~ N(0, I), x ~ p(x | z + what the two classes add)."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.sentiment = nn.Parameter(torch.zeros(NUM_SENTIMENTS))
        self.topic = nn.Parameter(torch.zeros(NUM_SENTIMENTS, NUM_TOPICS))
        self.of_sentiment = nn.Embedding(NUM_SENTIMENTS, latent_dim)
        self.of_topic = nn.Embedding(NUM_TOPICS, latent_dim)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            sentiment = pyro.sample("sentiment", dist.Categorical(logits=self.sentiment))
            topic = pyro.sample("topic", dist.Categorical(logits=self.topic[sentiment]))
            zero = torch.zeros_like(self.of_topic.weight[0])
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            code = z + self.of_sentiment(sentiment) + self.of_topic(topic)
            return pyro.sample("x", self.decoder(code), obs=tokens)


class TwoClassGuide(PyroModule):
    """q(sentiment | x) q(topic | x) q(z | x, topic): z has a draw for each topic."""

    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.encoder = encoder
        self.sentiment = nn.Linear(encoder.output_dim, NUM_SENTIMENTS)
        self.topic = nn.Linear(encoder.output_dim, NUM_TOPICS)
        self.z = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.of_topic = nn.Embedding(NUM_TOPICS, latent_dim)

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            features = self.encoder(tokens)
            sentiment = dist.Categorical(logits=self.sentiment(features))
            pyro.sample("sentiment", sentiment, infer=SUM)
            topic = dist.Categorical(logits=self.topic(features))
            topic = pyro.sample("topic", topic, infer=SUM)
            loc, log_scale = self.z(features).chunk(2, -1)
            posterior = dist.Normal(loc + self.of_topic(topic), log_scale.exp())
            pyro.sample("z", posterior.to_event(1))
