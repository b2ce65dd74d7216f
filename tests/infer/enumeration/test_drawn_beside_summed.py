# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A discrete site that is drawn for each value of one that is summed over: score functions."""

import itertools

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.infer import VIMCO, BetaELBO
from tests.infer.enumeration.programs import SUM, normal

X = 0.7
TABLES = {"y": [0.2, -0.3], "w": [[0.4, 0.0], [-0.5, 0.1]]}


class Scripted(dist.Categorical):
    """Draws what it is told."""

    def __init__(self, logits, draws, validate_args=None):
        super().__init__(logits=logits, validate_args=validate_args)
        self.draws = draws

    def expand(self, batch_shape, _instance=None):
        return type(self)(self.logits.expand(*batch_shape, self.logits.shape[-1]), self.draws)

    def sample(self, sample_shape=()):
        return self.draws


class Program(nn.Module):
    """y, w | y, and in the model x ~ N(y + w, .8^2); each datum with tables of its own.

    :param draws: of w, ``(2, K, N)``; None for the model.
    """

    def __init__(self, size, factor, draws=None):
        super().__init__()
        self.draws = draws
        self.y = nn.Parameter(factor * torch.tensor(TABLES["y"]).double().repeat(size, 1))
        self.w = nn.Parameter(factor * torch.tensor(TABLES["w"]).double().repeat(size, 1, 1))

    def forward(self, x):
        rows = torch.arange(len(x))
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.Categorical(logits=self.y), infer=SUM)
            logits = self.w[rows, y]
            if self.draws is not None:
                pyro.sample("w", Scripted(logits, self.draws))
                return
            w = pyro.sample("w", dist.Categorical(logits=logits))
            pyro.sample("x", dist.Normal((y + w).double(), 0.8), obs=x)


def every_draw():
    """Of w for two particles and two values of y, ``(2, 2, 16)``."""
    return torch.tensor(list(itertools.product(range(2), repeat=4))).T.reshape(2, 2, 16)


def test_gradient_is_that_of_the_mean_over_all_draws():
    draws = every_draw()
    model, guide = Program(16, 1.0), Program(16, -2.0, draws)
    x = torch.full((16,), X).double()
    loss = VIMCO(2)(model, guide)(x)
    parameters = [guide.w, guide.y, model.w, model.y]
    found = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)

    model, guide = Program(1, 1.0), Program(1, -2.0)
    log_q = guide.w[0].log_softmax(1)[torch.arange(2).reshape(2, 1, 1), draws]
    share = log_q.sum((0, 1)).exp()
    values = torch.arange(2).reshape(2, 1, 1)
    log_p = model.y[0].log_softmax(0).reshape(2, 1, 1)
    log_p = log_p + model.w[0].log_softmax(1)[values, draws]
    log_p = log_p + normal(torch.tensor(X).double(), (values + draws).double(), 0.8)
    bound = (log_p - log_q).flatten(0, 1).logsumexp(0) - torch.log(torch.tensor(2.0).double())
    parameters = [guide.w, guide.y, model.w, model.y]
    exact = torch.autograd.grad(
        -(share * bound).sum(), parameters, materialize_grads=True, allow_unused=True
    )
    for samples, of_mean in zip(found, exact, strict=True):
        weighted = (samples.movedim(0, -1) * share).sum(-1)
        torch.testing.assert_close(weighted, of_mean[0], rtol=1e-9, atol=1e-12)


def test_objectives_without_a_gradient_for_it_refuse_it():
    x = torch.full((16,), X).double()
    with pytest.raises(ValueError, match="'w' is not reparameterised"):
        BetaELBO()(Program(16, 1.0), Program(16, 1.0, every_draw()[:, 0]))(x)
