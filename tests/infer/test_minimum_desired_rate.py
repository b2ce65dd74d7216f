# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.infer import BetaELBO, MinimumDesiredRate

NUMBERS = torch.tensor([-1.5, 0.4, 1.1], dtype=torch.float64)
WEIGHT, NOISE, SCALE = 0.8, 1.3, 0.6


class Mean(dist.Normal):
    """A Gaussian that always draws its mean, at which a squared error has its mean's gradient."""

    def rsample(self, sample_shape=()):
        return self.loc.expand(self.batch_shape)


class Line(PyroModule):
    """x ~ N(WEIGHT z, NOISE^2)."""

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(WEIGHT * z.squeeze(-1), NOISE), obs=tokens)


class Slope(PyroModule):
    """q(z | x) = N(slope x, SCALE^2)."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            loc = self.slope * tokens.unsqueeze(-1)
            pyro.sample("z", Mean(loc, torch.full_like(loc, SCALE)).to_event(1))


def train(nats, damping):
    guide = Slope()
    constraint = MinimumDesiredRate(nats, learning_rate=0.1, damping=damping)
    objective = BetaELBO(constraint=constraint)
    loss = objective(Line(), guide)
    optimizer = torch.optim.SGD(guide.parameters(), lr=0.2)
    for _ in range(170):
        optimizer.zero_grad()
        loss(NUMBERS).backward()
        optimizer.step()
        objective.advance()
    return guide.slope.item(), constraint, objective


SQUARE = NUMBERS.square().mean().item()
OF_SCALE = 0.5 * (SCALE**2 - 1 - math.log(SCALE**2))


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_kl_and_multiplier_converge_to_the_constrained_optimum(damping):
    """Where d/da (mean squared error / 2 NOISE^2) + (1 - multiplier) d/da KL = 0 at KL = nats.

    Nothing is drawn at random, so what is left is the distance still to go.
    """
    nats = 1.0
    slope = math.sqrt(2 * (nats - OF_SCALE) / SQUARE)
    multiplier = 1 - WEIGHT * (1 - WEIGHT * slope) / (slope * NOISE**2)
    found, constraint, objective = train(nats, damping)
    assert 0 < multiplier < 1
    assert found == pytest.approx(slope, abs=1e-6)
    assert constraint.multiplier == pytest.approx(multiplier, abs=1e-6)
    assert objective.latest.total_kl.mean().item() == pytest.approx(nats, abs=1e-6)
    assert objective.describe() == {"multiplier": constraint.multiplier}
    assert objective.state_dict()["constraint"] == {"multiplier": constraint.multiplier}


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_a_constraint_that_holds_by_itself_leaves_the_bound_alone(damping):
    """The bound's own optimum has a KL above nats: the multiplier is exactly 0 there."""
    slope = WEIGHT / (WEIGHT**2 + NOISE**2)
    nats = 0.9 * (OF_SCALE + 0.5 * slope**2 * SQUARE)
    found, constraint, _ = train(nats, damping)
    assert found == pytest.approx(slope, abs=1e-6)
    assert constraint.multiplier == 0.0


def test_a_step_moves_the_multiplier_by_what_the_mean_kl_lacks():
    constraint = MinimumDesiredRate(2.0, learning_rate=0.3)
    guide, numbers = Slope(), torch.tensor([1.0, 5.0]).double()
    kl = OF_SCALE + 0.5 * 0.01 * 13.0
    for step in (1, 2):
        constraint.advance(BetaELBO().terms(Line(), guide, numbers).detached())
        assert constraint.multiplier == pytest.approx(0.3 * step * (2.0 - kl), rel=1e-12)
    other = MinimumDesiredRate(2.0, learning_rate=0.3)
    other.load_state_dict(constraint.state_dict())
    assert other.multiplier == constraint.multiplier
