# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Many replicates of a few sentences in one batch, each with random numbers of its own.

A sentence's random numbers are made of what it says, so a number is put beside the tokens; the
posteriors are given in a table, as good or as bad as a test wants them.
"""

import math

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn


class Numbered(PyroModule):
    """A model of ``tokens`` that is given a ``number`` too, and ignores it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__("model")
        self.model = model

    def forward(
        self, tokens: Tensor | None = None, number: Tensor | None = None, *, size: int | None = None
    ) -> Tensor:
        return self.model(tokens, size=size)


class TableGuide(PyroModule):
    """q(z | x) from a table: ``kind`` of the rows ``number`` of ``parameters``, in turn."""

    def __init__(self, kind, *parameters: Tensor) -> None:
        super().__init__("guide")
        self.kind = kind
        self.parameters_of_rows = nn.ParameterList(parameters)

    def forward(self, tokens: Tensor, number: Tensor, *, size: int | None = None) -> Tensor:
        with pyro.plate("data", len(tokens)):
            rows = [table[number % len(table)] for table in self.parameters_of_rows]
            return pyro.sample("z", self.kind(*rows))


def diagonal(loc: Tensor, scale: Tensor) -> dist.Distribution:
    """A diagonal Gaussian over vectors."""
    return dist.Normal(loc, scale).to_event(1)


def replicates(tokens: Tensor, count: int = 1) -> dict[str, Tensor]:
    """A batch of all sentences ``count`` times over, ``(count * N, T)``."""
    return {"tokens": tokens.repeat(count, 1), "number": torch.arange(count * len(tokens))}


def posterior_moments(decoder: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of p(z | x) under a standard normal prior of two dimensions."""
    grid, log_joint = _on_grid(decoder, tokens)
    shares = log_joint.softmax(0).T  # (N, grid)
    loc = shares @ grid
    return loc, (shares @ grid.square() - loc.square()).sqrt()


def quick_log_px(decoder: nn.Module, tokens: Tensor) -> Tensor:
    """log p(x) of each sentence under that prior, on a grid of 49 x 49, right to 1e-4."""
    _, log_joint = _on_grid(decoder, tokens)
    return log_joint.logsumexp(0) + math.log(0.25**2 / (2 * math.pi))


def _on_grid(decoder: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    points = torch.linspace(-6.0, 6.0, 49, dtype=torch.float64)
    grid = torch.cartesian_prod(points, points)
    with torch.no_grad():
        log_likelihood = decoder(grid.unsqueeze(1)).log_prob(tokens)
    return grid, log_likelihood - 0.5 * grid.square().sum(-1, keepdim=True)


def circle(count: int = 2000) -> Tensor:
    """Equally spaced unit vectors of two dimensions: the trapezoid rule for a periodic function."""
    angles = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count
    return torch.stack([angles.cos(), angles.sin()], -1)


def log_px_on_circle(decoder: nn.Module, tokens: Tensor) -> Tensor:
    """log p(x) of each sentence under a uniform prior on the circle."""
    grid = circle()
    with torch.no_grad():
        return decoder(grid.unsqueeze(1)).log_prob(tokens).logsumexp(0) - math.log(len(grid))


def z_score(values: Tensor, truth: Tensor | float) -> Tensor:
    """Of the mean of independent values along the first dimension against the truth."""
    return (values.mean(0) - truth) / (values.std(0) / math.sqrt(len(values)))
