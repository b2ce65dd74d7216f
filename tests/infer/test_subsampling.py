# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Scales of a plate and of ``poutine.scale`` multiply the bound of a sentence, from outside."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import RenyiELBO
from torch import nn

from pyro_textvae.infer import (
    CIWAE,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    VIMCO,
    BetaELBO,
    DReG,
    RenyiIWAE,
    ThermodynamicELBO,
    WakeSleep,
    log_weights,
)

DATA = torch.linspace(-2.0, 2.5, 10).double()
EVERY = [
    BetaELBO(0.5, 3),
    IWAE(3),
    DReG(3),
    STL(3),
    MIWAE(4, 2),
    PIWAE(4, 2),
    CIWAE(3),
    RenyiIWAE(3),
    RenyiIWAE(3, doubly_reparameterised=True),
    ThermodynamicELBO(3),
    WakeSleep(3),
    VIMCO(3),
]
every_objective = pytest.mark.parametrize("objective", EVERY, ids=lambda one: type(one).__name__)


class ByParticle(dist.Normal):
    """Draws that differ by particle and by nothing else, so that each datum's bound is its own."""

    def rsample(self, sample_shape=()):
        count = self.loc.shape[0] if self.loc.dim() == 2 else 1
        noise = torch.cos(1.7 * torch.arange(count).double())
        return self.loc + self.scale * (noise.unsqueeze(1) if self.loc.dim() == 2 else noise)


class Programs(nn.Module):
    """Model and guide of ten numbers, of which a plate may take some."""

    def __init__(self, **plate):
        super().__init__()
        self.plate = plate
        self.weight = nn.Parameter(torch.tensor(0.6).double())
        self.shift = nn.Parameter(torch.tensor(0.3).double())
        self.taken = None

    def guide(self, x):
        with pyro.plate("data", len(x), **self.plate) as rows:
            self.taken = rows
            pyro.sample("z", ByParticle(self.weight * x[rows], 0.8))

    def model(self, x):
        with pyro.plate("data", len(x), **self.plate) as rows:
            z = pyro.sample("z", dist.Normal(torch.zeros(len(rows)).double(), 1.0))
            pyro.sample("x", dist.Normal(z + self.shift, 1.0), obs=x[rows])

    def loss_and_gradient(self, objective, x, *wrappers):
        model, guide = self.model, self.guide
        for wrapper in wrappers:
            model, guide = wrapper(model), wrapper(guide)
        loss = objective.differentiable_loss(model, guide, x)
        return loss.item(), torch.stack(torch.autograd.grad(loss, list(self.parameters())))


@every_objective
@pytest.mark.parametrize(
    "plate",
    [{"subsample_size": 4}, {"subsample": torch.tensor([7, 0, 3, 4])}],
    ids=["size", "rows"],
)
def test_subsample_is_the_mean_over_its_rows_at_the_scale_of_all(objective, plate):
    part = Programs(**plate)
    loss, gradient = part.loss_and_gradient(objective, DATA)
    assert len(part.taken) == 4
    whole_loss, whole_gradient = Programs().loss_and_gradient(objective, DATA[part.taken])
    assert loss == pytest.approx(2.5 * whole_loss, rel=1e-12)
    torch.testing.assert_close(gradient, 2.5 * whole_gradient, rtol=1e-10, atol=0)
    assert gradient.abs().min() > 1e-3


@every_objective
def test_subsamples_have_the_loss_of_all_data_as_their_mean(objective):
    """Five subsamples of two that together are all: exact, with nothing left to chance."""
    whole_loss, whole_gradient = Programs().loss_and_gradient(objective, DATA)
    found = [
        Programs(subsample=torch.tensor(rows)).loss_and_gradient(objective, DATA)
        for rows in torch.arange(10).reshape(2, 5).T.tolist()
    ]
    assert sum(loss for loss, _ in found) / 5 == pytest.approx(whole_loss, rel=1e-12)
    torch.testing.assert_close(sum(g for _, g in found) / 5, whole_gradient, rtol=1e-10, atol=0)


@every_objective
def test_scale_multiplies_loss_and_gradient_from_outside(objective):
    plain_loss, plain_gradient = Programs().loss_and_gradient(objective, DATA)
    loss, gradient = Programs().loss_and_gradient(
        objective, DATA, lambda program: poutine.scale(program, 0.3)
    )
    assert loss == pytest.approx(0.3 * plain_loss, rel=1e-12)
    torch.testing.assert_close(gradient, 0.3 * plain_gradient, rtol=1e-10, atol=0)


@every_objective
def test_masked_data_count_nothing(objective):
    keep = torch.arange(10) < 6
    loss, gradient = Programs().loss_and_gradient(
        objective, DATA, lambda program: poutine.mask(program, mask=keep)
    )
    plain_loss, plain_gradient = Programs().loss_and_gradient(objective, DATA[:6])
    assert loss == pytest.approx(plain_loss, rel=1e-12)
    torch.testing.assert_close(gradient, plain_gradient, rtol=1e-10, atol=0)


def renyi(num_particles):
    return RenyiELBO(
        alpha=0, num_particles=num_particles, max_plate_nesting=1, vectorize_particles=True
    )


def test_pyros_renyi_bound_takes_scales_into_the_logarithm():
    """Equal without a scale; with one, ours is the scaled mean and theirs another number."""
    rows = torch.tensor([7, 0, 3, 4])
    plain, part = Programs(), Programs(subsample=rows)
    mean = IWAE(8).loss(plain.model, plain.guide, DATA[rows])
    assert renyi(8).loss(plain.model, plain.guide, DATA[rows]) == pytest.approx(mean, rel=1e-12)
    assert IWAE(8).loss(part.model, part.guide, DATA) == pytest.approx(2.5 * mean, rel=1e-12)
    assert abs(renyi(8).loss(part.model, part.guide, DATA) - 2.5 * mean) > 0.05
    scaled = poutine.scale(plain.model, 0.2), poutine.scale(plain.guide, 0.2)
    ours, theirs = (kind(8).loss(*scaled, DATA[rows]) for kind in (IWAE, renyi))
    assert ours == pytest.approx(0.2 * mean, rel=1e-12)
    assert abs(theirs - 0.2 * mean) > 0.01


def test_log_weights_of_a_subsample_are_those_of_its_rows():
    part, plain = Programs(subsample_size=4), Programs()
    found = log_weights(part.model, part.guide, {"x": DATA}, 3)
    expected = log_weights(plain.model, plain.guide, {"x": DATA[part.taken]}, 3)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert found.shape == (3, 4)
