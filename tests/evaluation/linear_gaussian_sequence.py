# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A latent that is a sequence of vectors, whose log p(x) and posterior are in closed form."""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

LENGTH, DIM = 3, 2


class SequenceModel(PyroModule):
    """z ~ N(0, I), of shape (3, 2); x ~ N(z M, 0.5^2 I) for each vector, as ``tokens``."""

    mixing = torch.tensor([[1.0, 0.6], [-0.4, 0.8]], dtype=torch.float64)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            zero = torch.zeros(LENGTH, DIM, dtype=torch.float64)
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(2))
            return pyro.sample("x", dist.Normal(z @ self.mixing, 0.5).to_event(2), obs=tokens)

    def log_px(self, x):
        """The exact log p(x), ``(N,)``."""
        covariance = self.mixing.T @ self.mixing + 0.25 * torch.eye(DIM).double()
        return dist.MultivariateNormal(torch.zeros_like(x[0, 0]), covariance).log_prob(x).sum(-1)


class SequenceGuide(PyroModule):
    """The posterior, off in place and too narrow; its vectors diagonal or of full covariance."""

    def __init__(self, *, full=False):
        super().__init__("guide")
        self.full = full

    def forward(self, tokens):
        mixing = SequenceModel.mixing
        precision = torch.eye(DIM).double() + 4 * mixing @ mixing.T
        loc = 4 * tokens @ mixing.T @ precision.inverse() + 0.2
        with pyro.plate("data", len(tokens)):
            if self.full:
                covariance = 0.5 * precision.inverse().expand(*loc.shape, DIM)
                posterior = dist.MultivariateNormal(loc, covariance).to_event(1)
            else:
                posterior = dist.Normal(loc, 0.8 * precision.diagonal().rsqrt()).to_event(2)
            pyro.sample("z", posterior)
