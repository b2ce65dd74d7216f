# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pairs that the tools are tried on, in float64, with a batch of four texts each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import BagOfWordsEncoder, LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from tests.programs.discrete import TopicGuide, TopicVAE
from tests.programs.pairs import TEXT_AND_SOURCE, conditional

LATENT_DIM = 2
NUM_LABELS = 3
SIZES = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 4}
TEXT = {"tokens": TEXT_AND_SOURCE["tokens"]}


class LabelledVAE(PyroModule):
    """y ~ Categorical(1/3), z ~ N(0, I), x ~ p(x | z, e_y); y may have a dimension of its own."""

    def __init__(self):
        super().__init__("model")
        self.decoder = LSTMDecoder(**SIZES, latent_dim=LATENT_DIM + 1, max_length=6)
        self.label = nn.Embedding(NUM_LABELS, 1)

    def forward(self, tokens=None, *, size=None):
        zero = self.label.weight.new_zeros(LATENT_DIM)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = pyro.sample("y", dist.Categorical(logits=zero.new_zeros(NUM_LABELS)))
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            return pyro.sample("x", self.text(z, y), obs=tokens)

    def text(self, z, y):
        """p(x | z, y)."""
        rows = torch.broadcast_shapes(z.shape[:-1], y.shape)
        label = self.label(y).expand(*rows, -1)
        return self.decoder(torch.cat([z.expand(*rows, -1), label], -1))


@dataclass(frozen=True)
class Program:
    """A pair to try.

    title
        The head of its column.
    make
        Model and guide.
    batch
        What both are called with, ``tokens`` among it.
    parents
        The sites that each site depends on directly.
    label
        The name of the discrete latent, where there is one.
    """

    title: str
    make: Callable[[], tuple[Any, Any]]
    batch: dict[str, Tensor]
    parents: dict[str, list[str]]
    label: str | None = None

    def pair(self) -> tuple[Any, Any]:
        """Model and guide in evaluation mode, whatever was built before."""
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        model, guide = self.make()
        return model.double().eval(), guide.double().eval()

    @property
    def condition(self) -> dict[str, Any]:
        """What the model is called with to generate."""
        given = {name: value for name, value in self.batch.items() if name != "tokens"}
        return given or {"size": len(self.batch["tokens"])}


def _sentence():
    decoder = LSTMDecoder(**SIZES, latent_dim=LATENT_DIM, max_length=6)
    guide = GaussianGuide(LSTMEncoder(**SIZES), LATENT_DIM)
    return SentenceVAE(prior=StandardNormal(LATENT_DIM), decoder=decoder), guide


def _labelled():
    return LabelledVAE(), TopicGuide(BagOfWordsEncoder(**SIZES), LATENT_DIM)


def _topic():
    decoder = LSTMDecoder(**SIZES, latent_dim=LATENT_DIM, max_length=6)
    return TopicVAE(decoder, LATENT_DIM), TopicGuide(BagOfWordsEncoder(**SIZES), LATENT_DIM)


_FROM_Z = {"z": [], "x": ["z"]}

PROGRAMS = [
    Program("`SentenceVAE`", _sentence, TEXT, _FROM_Z),
    Program("p(x \\| z, source)", conditional, TEXT_AND_SOURCE, _FROM_Z),
    Program("y, z, p(x \\| y, z)", _labelled, TEXT, {"y": [], "z": [], "x": ["y", "z"]}, "y"),
    Program("y, then z, then x", _topic, TEXT, {"y": [], "z": ["y"], "x": ["z"]}, "y"),
]
