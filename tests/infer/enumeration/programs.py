# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs with a class y and a Gaussian z, and all their densities by hand.

Every datum has parameters of its own, so that one backward pass has the gradient of each.
"""

import math

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from tests.infer.exact import ScriptedNormal

X = torch.tensor([0.7, -0.3, 1.9]).double()
MEANS = torch.tensor([-1.5, 0.2, 1.6]).double()
SUM = {"enumerate": "parallel"}
ORDERS = ["y", "y then z", "z apart", "z then y"]


class Model(nn.Module):
    """y of three values, z ~ N(mean of y, 1), x ~ N(z + shift of y, .8^2); without z in order "y".

    :param mark: sums y out of the model, whose guide does not have it.
    """

    def __init__(self, size, order="y then z", *, mark=False):
        super().__init__()
        self.order, self.infer = order, SUM if mark else {}
        self.logits = nn.Parameter(torch.tensor([0.3, -0.4, 0.1]).double().repeat(size, 1).T)
        self.shift = nn.Parameter(torch.tensor([0.1, 0.4, -0.2]).double().repeat(size, 1).T)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.Categorical(logits=self.logits.T), infer=self.infer)
            centre = MEANS[y]
            if self.order != "y":
                centre = pyro.sample("z", dist.Normal(centre, 1.0))
            pyro.sample("x", dist.Normal(centre + of_class(self.shift, y), 0.8), obs=x)

    def parts(self, x, z):
        """log p(y), log p(z | y) and log p(x | y, z) of every y, each ``(3, ..., N)``."""
        log_prior = per_class(self.logits.log_softmax(0), x, z)
        means, shift = column(MEANS, z), per_class(self.shift, x, z)
        if self.order == "y":
            return log_prior, torch.zeros_like(log_prior), normal(x, means + shift, 0.8)
        return log_prior, normal(z, means, 1.0), normal(x, z + shift, 0.8)


class Guide(nn.Module):
    """q(y), q(y) q(z | y), q(y) q(z), or q(z) q(y | z); y is summed over.

    :param noise: ``(3, K, N)`` where each y has a z, ``(K, N)`` where not.
    :param has_y: whether y is a latent of the guide's.
    """

    def __init__(self, size, order="y then z", noise=None, *, has_y=True, infer=SUM):
        super().__init__()
        self.order, self.noise, self.has_y, self.infer = order, noise, has_y, infer
        self.logits = nn.Parameter(torch.tensor([-0.2, 0.3, 0.4]).double().repeat(size, 1).T)
        self.loc = nn.Parameter(torch.tensor([-0.5, 0.4, 0.9]).double().repeat(size, 1).T)
        self.log_scale = nn.Parameter(torch.full((size,), -0.2).double())

    def forward(self, x):
        with pyro.plate("data", len(x)):
            if self.order == "z then y":
                z = self.sample_z(self.loc[1])
                logits = self.logits.T + z.unsqueeze(-1) * self.loc.T
                pyro.sample("y", dist.Categorical(logits=logits), infer=self.infer)
                return
            if self.has_y:
                y = pyro.sample("y", dist.Categorical(logits=self.logits.T), infer=self.infer)
            if self.order == "y then z":
                self.sample_z(of_class(self.loc, y))
            elif self.order == "z apart":
                self.sample_z(self.loc[1])

    def sample_z(self, loc):
        scale = self.log_scale.exp()
        if self.noise is None:
            return pyro.sample("z", dist.Normal(loc, scale))
        return pyro.sample("z", ScriptedNormal(loc, scale, self.noise))

    def parts(self, x):
        """z, log q(y | ...) and log q(z | ...) of every y, each ``(3, K, N)``."""
        scale = self.log_scale.exp()
        if self.order == "y":
            z = torch.zeros(3, *self.noise.shape).double()
        elif self.order == "y then z":
            z = per_class(self.loc, x, self.noise) + scale * self.noise
        else:
            z = (self.loc[1] + scale * self.noise).expand(3, *self.noise.shape)
        logits = per_class(self.logits, x, z)
        if self.order == "z then y":
            logits = logits + z * per_class(self.loc, x, z)
        loc = per_class(self.loc, x, z) if self.order == "y then z" else self.loc[1]
        log_density = torch.zeros_like(z) if self.order == "y" else normal(z, loc, scale)
        return z, logits.log_softmax(0).expand_as(z), log_density


def by_hand(model, guide, x):
    """log q(y), log q(z | y), log p(y), log p(z | y), log p(x | y, z), each ``(3, K, N)``."""
    z, *of_guide = guide.parts(x)
    return *of_guide, *(part.expand_as(z) for part in model.parts(x, z))


def noise_for(order, num_particles, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, num_particles, size) if order == "y then z" else (num_particles, size)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def value_and_gradients(objective, model, guide, x):
    """The loss, and its gradient in every parameter, 0 where there is none."""
    loss = objective(model, guide)(x)
    parameters = [*guide.parameters(), *model.parameters()]
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return loss.item(), found


def of_class(table, y):
    """Of a table ``(3, N)`` the row of each class."""
    rows = table.T.expand(*y.shape[:-1], table.shape[-1], 3)
    y = y.expand(*y.shape[:-1], table.shape[-1])
    return rows.gather(-1, y.unsqueeze(-1)).squeeze(-1)


def per_class(table, x, like):
    """``(3, N)`` as ``(3, 1, N)``."""
    return table.reshape(3, *[1] * (like.dim() - 2), -1)


def column(values, like):
    return values.reshape(3, *[1] * (like.dim() - 1))


def normal(value, loc, scale):
    scale = torch.as_tensor(scale, dtype=torch.float64)
    error = (value - loc) / scale
    return -0.5 * error.square() - scale.log() - 0.5 * math.log(2 * math.pi)
