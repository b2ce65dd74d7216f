# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Numbers around a mean that all of them share, of which everything is known."""

import math

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn
from torch.distributions.transforms import AffineTransform


class SharedMean(PyroModule):
    """mean ~ N(0, 1); z_n ~ N(mean, 1); x_n ~ N(z_n, 1)."""

    def forward(self, tokens):
        mean = pyro.sample("mean", dist.Normal(tokens.new_zeros(()), 1.0))
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", dist.Normal(mean, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=tokens)


class SharedMeanGuide(PyroModule):
    """q(mean) Gaussian, q(z | x, mean) the posterior.

    :param closed_form: whether their KLs have one; as transformed Gaussians they have none.
    """

    def __init__(self, loc=0.0, scale=1.0, *, closed_form=False):
        super().__init__()
        self.loc = nn.Parameter(torch.tensor(float(loc), dtype=torch.float64))
        self.scale = scale
        self.closed_form = closed_form

    @classmethod
    def exact(cls, x, **options):
        """q(mean) the posterior of all the numbers."""
        variance = 1 / (1 + len(x) / 2)
        return cls(variance * x.sum() / 2, math.sqrt(variance), **options)

    def of_mean(self):
        return self.gaussian(self.loc, self.scale)

    def gaussian(self, loc, scale):
        if self.closed_form:
            return dist.Normal(loc, scale)
        standard = dist.Normal(torch.zeros_like(loc), 1.0)
        return dist.TransformedDistribution(standard, [AffineTransform(loc, scale)])

    def forward(self, tokens):
        mean = pyro.sample("mean", self.of_mean())
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", self.gaussian((tokens + mean) / 2, 0.5**0.5))


def log_evidence(x):
    """log p(x) of all the numbers together."""
    covariance = 2 * torch.eye(len(x), dtype=x.dtype) + 1
    return dist.MultivariateNormal(torch.zeros_like(x), covariance).log_prob(x)
