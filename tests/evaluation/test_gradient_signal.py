# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.evaluation import GradientSignal, gradient_signal
from pyro_textvae.infer import BetaELBO


class Parameters(nn.Module):
    """Parameters alone: the loss below never calls the program."""

    def __init__(self, *values):
        super().__init__()
        self.values = nn.ParameterList(values)


class NoisyGradient:
    """A loss whose gradient is ``signal + scale * noise`` for each parameter of a module."""

    def __init__(self, signal, scale):
        self.signal = signal
        self.scale = scale

    def differentiable_loss(self, model, guide, **batch):
        parameters = dict.fromkeys([*model.parameters(), *guide.parameters()])
        return sum((p * (self.signal + self.scale * torch.randn_like(p))).sum() for p in parameters)


class LocationModel(nn.Module):
    """z ~ N(0, 1), x ~ N(z + theta, 1)."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", dist.Normal(torch.zeros_like(tokens), 1.0))
            pyro.sample("x", dist.Normal(z + self.theta, 1.0), obs=tokens)


class LocationGuide(nn.Module):
    """z ~ N(loc, scale), the parameters being loc and log scale."""

    def __init__(self, loc, scale):
        super().__init__()
        self.loc = nn.Parameter(torch.tensor(loc, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64).log())

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(self.loc.expand(len(tokens)), self.log_scale.exp()))


def test_ratio_of_a_linear_gaussian_model_is_the_exact_one():
    """By hand: with r = x - theta - loc and z = loc + s e, the gradients of one draw are
    -(r - s e), loc - (r - s e) and s^2 - 1 - s e (r - s e).

    The ratio squared has no bias but the few per cent of dividing by a variance from 60 draws; its
    error over 8 seeds is measured, and 4 of them allowed.
    """
    theta, loc, scale, x = 0.3, -0.2, 0.6, 1.5
    r = x - theta - loc
    of_model = r**2 / scale**2
    of_guide = ((loc - r) ** 2 + (2 * scale**2 - 1) ** 2) / (
        scale**2 + scale**2 * r**2 + 2 * scale**4
    )
    programs = LocationModel(theta), LocationGuide(loc, scale)
    batch = {"tokens": torch.tensor([x], dtype=torch.float64)}
    with pyro.validation_enabled(False):
        found = [gradient_signal(*programs, BetaELBO(), batch, 60, seed) for seed in range(8)]
    for squares, truth in (
        (torch.tensor([each.model**2 for each in found]), of_model),
        (torch.tensor([each.guide**2 for each in found]), of_guide),
    ):
        error = squares.std().item() / math.sqrt(len(squares))
        assert abs(squares.mean().item() - truth) < 4 * error + 0.05 * truth
        assert error < 0.15 * truth


def test_noise_alone_is_no_signal():
    """1000 parameters: the mean of 10 draws has the length 0.32 of the noise, by noise alone.

    Less what that is expected to be, the square of the ratio has the standard deviation
    sqrt(2 / 1000) / 10 = 0.0045; four of them are a ratio of 0.13.
    """
    model, guide = Parameters(torch.zeros(1000)), Parameters(torch.zeros(1000))
    found = gradient_signal(model, guide, NoisyGradient(0.0, 1.0), {}, num_draws=10)
    assert found.model < 0.134
    assert found.guide < 0.134


def test_groups_are_apart_and_a_shared_parameter_is_in_both():
    """|g| / sqrt(trace C) = 3 whatever the size; its error for 100 draws of 64 parameters is 0.2.

    A parameter that counts once with twice its noise, or not at all, would be off by more.
    """
    shared = nn.Parameter(torch.zeros(64))
    objective = NoisyGradient(3.0, 1.0)
    own = gradient_signal(Parameters(torch.zeros(64)), Parameters(shared), objective, {})
    assert own.model == pytest.approx(3.0, abs=0.2)
    assert own.guide == pytest.approx(3.0, abs=0.2)
    both = gradient_signal(Parameters(shared), Parameters(shared), objective, {})
    assert both.model == both.guide == pytest.approx(3.0, abs=0.2)


def test_welford_is_the_plain_mean_and_variance(pair, tokens):
    """On the sentence VAE, against all gradients kept and averaged in the end."""
    model, guide = pair
    objective = BetaELBO(kl_weight=0.4)
    found = gradient_signal(model, guide, objective, {"tokens": tokens}, num_draws=40, seed=3)
    pyro.set_rng_seed(3)
    drawn = {"model": [], "guide": []}
    for _ in range(40):
        loss = objective.differentiable_loss(model, guide, tokens=tokens)
        for name, module in (("model", model), ("guide", guide)):
            gradients = torch.autograd.grad(
                loss, list(module.parameters()), retain_graph=True, materialize_grads=True
            )
            drawn[name].append(torch.cat([gradient.flatten() for gradient in gradients]))
    for name, draws in drawn.items():
        stacked = torch.stack(draws)
        noise = stacked.var(0).sum()
        signal = stacked.mean(0).square().sum() - noise / 40
        assert signal > 0
        assert getattr(found, name) == pytest.approx((signal / noise).sqrt().item(), rel=1e-9)


def test_everything_is_left_as_it_was(pair, tokens):
    model, guide = pair
    model.train()
    guide.decoy = nn.Dropout(0.5).eval()
    weight = next(guide.parameters())
    weight.grad = torch.ones_like(weight)
    before = torch.get_rng_state()
    gradient_signal(model, guide, BetaELBO(), {"tokens": tokens}, num_draws=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert (model.training, guide.training, guide.decoy.training) == (True, False, False)
    assert torch.equal(weight.grad, torch.ones_like(weight))
    assert all(p.grad is None for p in model.parameters())


def test_same_seed_same_ratio(pair, tokens):
    def ratio(seed):
        return gradient_signal(*pair, BetaELBO(), {"tokens": tokens}, 5, seed)

    assert ratio(1) == ratio(1)
    assert ratio(1) != ratio(2)


def test_gradient_without_noise_and_none_at_all():
    still = gradient_signal(
        Parameters(torch.zeros(3)), Parameters(), NoisyGradient(1.0, 0.0), {}, num_draws=3
    )
    assert still.model == math.inf
    assert math.isnan(still.guide)
    nothing = gradient_signal(Parameters(), Parameters(), NoisyGradient(1.0, 1.0), {})
    assert isinstance(nothing, GradientSignal)
    assert math.isnan(nothing.model)


def test_refusals():
    programs = Parameters(torch.zeros(3)), Parameters(torch.zeros(3))
    with pytest.raises(ValueError, match="num_draws must be at least 2, got 1"):
        gradient_signal(*programs, NoisyGradient(1.0, 1.0), {}, num_draws=1)
    with pytest.raises(ValueError, match="gradient is not finite"):
        gradient_signal(*programs, NoisyGradient(math.inf, 1.0), {}, num_draws=2)
