# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Models and guides that read their distributions from a table: sentence n starts with id n + 3."""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule


class Table(PyroModule):
    """A program with one latent site; ``distribution`` maps numbers of sentences to its fn."""

    def __init__(self, distribution, name="z"):
        super().__init__()
        self.distribution = distribution
        self.name = name

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample(self.name, self.distribution(tokens[:, 0] - 3))


def table_guide(loc, scale, family=dist.Normal):
    """The posterior of sentence n is ``family(loc[n], scale[n])``, each ``(N, D)``."""
    scale = torch.as_tensor(scale, dtype=loc.dtype).expand_as(loc)
    return Table(lambda rows: family(loc[rows], scale[rows]).to_event(1))


def standard_normal(dim, dtype=torch.float64):
    """A model of nothing but its prior."""
    zero = torch.zeros(dim, dtype=dtype)
    return Table(lambda rows: dist.Normal(zero, torch.ones_like(zero)).to_event(1))


def batches_of(count, size=None):
    """Sentences 0 to ``count`` - 1, in batches of ``size``."""
    tokens = torch.stack([torch.arange(count) + 3, torch.full((count,), 2)], 1)
    return [{"tokens": part} for part in tokens.split(size or count)]
