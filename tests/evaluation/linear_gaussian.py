# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A model whose log p(x) and posterior are known in closed form."""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

NOISE = 0.7


class LinearGaussian(PyroModule):
    """z ~ N(0, I) in ``latent_dim`` dimensions; x ~ N(W z, 0.7^2 I), two more, as ``tokens``."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__("model")
        shape = (latent_dim + 2, latent_dim)
        weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
        self.weight = nn.Parameter(weight)

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        with pyro.plate("data", size if tokens is None else len(tokens)):
            zero = torch.zeros_like(self.weight[0])
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            x = dist.Normal(z @ self.weight.T, NOISE).to_event(1)
            return pyro.sample("x", x, obs=tokens)

    def simulate(self, size: int) -> tuple[Tensor, Tensor]:
        """z ``(size, D)`` and x ``(size, D + 2)``."""
        trace = pyro.poutine.trace(self).get_trace(size=size)
        return trace.nodes["z"]["value"], trace.nodes["x"]["value"].detach()

    def log_px(self, x: Tensor) -> Tensor:
        """The exact log p(x), ``(N,)``."""
        weight = self.weight.detach()
        covariance = weight @ weight.T + NOISE**2 * torch.eye(len(weight)).double()
        return dist.MultivariateNormal(torch.zeros_like(weight[:, 0]), covariance).log_prob(x)

    def posterior(self, x: Tensor) -> dist.MultivariateNormal:
        """The exact p(z | x), batch shape ``(N,)``."""
        weight = self.weight.detach()
        precision = torch.eye(weight.shape[1]).double() + weight.T @ weight / NOISE**2
        covariance = precision.inverse()
        loc = x @ weight @ covariance / NOISE**2
        return dist.MultivariateNormal(loc, covariance.expand(len(x), *covariance.shape))

    def prior(self, count: int) -> dist.Distribution:
        """N(0, I), batch shape ``(count,)``."""
        zero = torch.zeros(count, self.weight.shape[1]).double()
        return dist.Normal(zero, 1.0).to_event(1)
