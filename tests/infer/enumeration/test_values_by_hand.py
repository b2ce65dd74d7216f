# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Bounds with a site summed over, by their formulas on the same draws: value and gradient."""

import itertools
import math

import pytest
import torch

from pyro_textvae.infer import (
    CIWAE,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    VIMCO,
    BetaELBO,
    DReG,
    FreeBits,
    RenyiIWAE,
    TargetKL,
    ThermodynamicELBO,
    WakeSleep,
)
from tests.infer.enumeration.programs import (
    ORDERS,
    Guide,
    Model,
    X,
    by_hand,
    noise_for,
    value_and_gradients,
)

K = 4


def elbo(choice, density, *of_model):
    """sum_y q(y) (log p - log q), mean over draws."""
    return (choice.exp() * (sum(of_model) - choice - density)).sum(0).mean(0)


def weights(choice, density, *of_model):
    """log sum_y p(x, y, z_y) / q(z_y | y)."""
    return (sum(of_model) - density).logsumexp(0)


def importance(*parts):
    return weights(*parts).logsumexp(0) - math.log(K)


def weighted_elbo(choice, density, of_y, of_z, of_x):
    kl = 0.3 * 2.0 * (choice - of_y) + 0.3 * 0.5 * (density - of_z)
    return (choice.exp() * (1.7 * of_x - kl)).sum(0).mean(0)


def renyi(choice, density, *of_model):
    log_weight = sum(of_model) - density - choice
    return ((choice + 0.7 * log_weight).logsumexp(0).logsumexp(0) - math.log(K)) / 0.7


def groups(*parts):
    of_groups = weights(*parts).reshape(2, 2, -1)
    return (of_groups.logsumexp(0) - math.log(2)).mean(0)


def between(*parts):
    return 0.3 * elbo(*parts) + 0.7 * importance(*parts)


def gradients_of(loss, *programs):
    """In every parameter, 0 where there is none."""
    parameters = [p for program in programs for p in program.parameters()]
    return torch.autograd.grad(
        loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
    )


class Sampled(BetaELBO):
    """The bound with log-ratios of the draws where BetaELBO has a KL in closed form."""

    def bound(self, terms):
        return terms.mean_log_weights.mean(0)


CASES = {
    "ELBO": (Sampled(num_particles=K), elbo),
    "IWAE": (IWAE(K), importance),
    "MIWAE": (MIWAE(K, 2), groups),
    "CIWAE": (CIWAE(K, 0.3), between),
    "VR": (RenyiIWAE(K, 0.3), renyi),
    "VIMCO": (VIMCO(K), importance),
    "a loop": (IWAE(K, vectorize_particles=False), importance),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_those_of_the_formula(name, order):
    objective, formula = CASES[name]
    looped = not objective.vectorize_particles
    noise = noise_for(order, K, len(X))
    model, guide = Model(3, order), Guide(3, order, noise)
    expected = formula(*by_hand(model, guide, X)).sum()
    gradients = gradients_of(-expected, guide, model)
    if looped:
        guide.noise = PassByPass(noise)
    value, found = value_and_gradients(objective, model, guide, X)
    assert value == pytest.approx(-expected.item(), rel=1e-12)
    torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-12)


class PassByPass:
    """Noise of K particles, of which each pass takes the next, and after the last the first."""

    def __init__(self, noise):
        self.rows = itertools.cycle(noise.unbind(-2))

    def __rmul__(self, scale):
        return scale * next(self.rows)


@pytest.mark.parametrize("order", ["y", "y then z", "z apart"])
def test_weighted_bound_has_kls_in_closed_form(order):
    """At many draws the sampled KL is the closed one; y's is a sum over its values."""
    objective = BetaELBO(0.3, 2000, site_weights={"y": 2.0, "z": 0.5, "x": 1.7})
    if order == "y":
        objective.site_weights.pop("z")
    noise = noise_for(order, 2000, len(X))
    model, guide = Model(3, order), Guide(3, order, noise)
    value, _ = value_and_gradients(objective, model, guide, X)
    expected = -weighted_elbo(*by_hand(model, guide, X)).sum()
    assert value == pytest.approx(expected.item(), abs=0.15)
    assert {"y", "z"} >= objective.latest.closed_form >= ({"y", "z"} if order[-1] == "z" else {"y"})


@pytest.mark.parametrize("make", [FreeBits, TargetKL])
def test_constraints_take_the_mean_kl_over_values(make):
    """The order whose KLs have no closed form: then every number is that of the draws."""
    noise = noise_for("z then y", K, len(X))
    model, guide = Model(3, "z then y"), Guide(3, "z then y", noise)
    choice, density, of_y, of_z, of_x = by_hand(model, guide, X)
    parts = [(choice.exp() * part).sum(0).mean(0) for part in (choice - of_y, density - of_z)]
    reconstruction = (choice.exp() * of_x).sum(0).mean(0)
    if make is FreeBits:
        price = sum(part.clamp(min=0.4) for part in parts)
    else:
        price = (sum(parts).mean() - 0.4).abs()
    expected = -(reconstruction - price).sum()
    gradients = gradients_of(expected, guide, model)
    objective = BetaELBO(num_particles=K, constraint=make(0.4))
    value, found = value_and_gradients(objective, model, guide, X)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_thermodynamic_bound_is_the_sum_along_the_path(order):
    betas = (0.0, 0.2, 0.6)
    noise = noise_for(order, K, len(X))
    model, guide = Model(3, order), Guide(3, order, noise)
    # The draws are numbers: the proposal, and the places of the densities, are held fixed.
    fixed = by_hand(model, guide, X)[1].detach()
    choice, density, *of_model = by_hand_at_fixed_draws(model, guide, X)
    log_p, log_q = sum(of_model), choice + density
    total = 0.0
    for beta, end in zip(betas, [*betas[1:], 1.0], strict=True):
        path = beta * log_p + (1 - beta) * log_q - fixed
        share = (path - path.flatten(0, 1).logsumexp(0)).exp()
        total = total + (end - beta) * (share * (log_p - log_q)).sum((0, 1))
    gradients = gradients_of(-total.sum(), guide, model)
    value, found = value_and_gradients(ThermodynamicELBO(K, betas), model, guide, X)
    assert value == pytest.approx(-total.sum().item(), rel=1e-12)
    torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_wake_phase_trains_the_guide_by_the_weights_of_draws_and_values(order):
    noise = noise_for(order, K, len(X))
    model, guide = Model(3, order), Guide(3, order, noise)
    choice, density, *of_model = by_hand_at_fixed_draws(model, guide, X)
    share = (sum(of_model) - density).detach().flatten(0, 1).softmax(0).reshape(density.shape)
    target = (share * (sum(of_model) + choice + density)).sum()
    gradients = gradients_of(-target, guide, model)
    value, found = value_and_gradients(WakeSleep(K), model, guide, X)
    assert value == pytest.approx(-importance(*by_hand(model, guide, X)).sum().item(), rel=1e-12)
    torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-12)


def by_hand_at_fixed_draws(model, guide, x):
    """As ``by_hand``, without a gradient through z: log q at given z, and log p at it."""
    with torch.no_grad():
        z = guide.parts(x)[0]
    noise = guide.noise
    if guide.order != "y":
        loc = guide.loc.unsqueeze(1) if guide.order == "y then z" else guide.loc[1]
        # Noise that leads to the same z, whatever the parameters are.
        guide.noise = (z - loc) / guide.log_scale.exp()
        guide.noise = guide.noise if guide.order == "y then z" else guide.noise[0]
    _, *of_guide = guide.parts(x)
    guide.noise = noise
    return *of_guide, *(part.expand_as(z) for part in model.parts(x, z))


@pytest.mark.parametrize("order", ORDERS)
def test_path_derivatives_are_weighed_by_draw_and_value(order):
    """STL: sum_ky W_ky d log w_ky / d z_ky through the draws; the model as IWAE."""
    noise = noise_for(order, K, len(X))
    model, guide = Model(3, order), Guide(3, order, noise)
    choice, density, *of_model = by_hand(model, guide, X)
    _, density_at_draws, *of_model_at_draws = by_hand_at_fixed_draws(model, guide, X)
    log_weight = sum(of_model) - density
    share = log_weight.detach().flatten(0, 1).softmax(0).reshape(density.shape)
    # The whole derivative of log w, less that of log q at given draws.
    target = (share * (log_weight + density_at_draws)).sum()
    gradients = gradients_of(-target, guide, model)
    _, found = value_and_gradients(STL(K), model, guide, X)
    torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_guide_of_piwae_climbs_groups_and_its_model_all_draws(order):
    noise = noise_for(order, K, len(X))
    model, guide = Model(3, order), Guide(3, order, noise)
    parts = by_hand(model, guide, X)
    of_guide = gradients_of(-groups(*parts).sum(), guide)
    of_model = gradients_of(-importance(*parts).sum(), model)
    _, found = value_and_gradients(PIWAE(K, 2), model, guide, X)
    torch.testing.assert_close(found, (*of_guide, *of_model), rtol=1e-9, atol=1e-12)


def test_doubly_reparameterised_gradient_weighs_draws_by_their_share():
    """Where z does not depend on y, W_k once more; where it does, W_ky."""
    for order in ("y then z", "z apart"):
        noise = noise_for(order, K, len(X))
        model, guide = Model(3, order), Guide(3, order, noise)
        choice, density, *of_model = by_hand(model, guide, X)
        _, density_at_draws, *_ = by_hand_at_fixed_draws(model, guide, X)
        log_weight = sum(of_model) - density
        share = log_weight.detach().flatten(0, 1).softmax(0).reshape(density.shape)
        factor = share if order == "y then z" else share.sum(0, keepdim=True)
        target = (share * factor * (log_weight + density_at_draws)).sum()
        found = value_and_gradients(DReG(K), model, guide, X)[1]
        expected = gradients_of(-target, guide)
        torch.testing.assert_close(found[: len(expected)], expected, rtol=1e-9, atol=1e-12)
