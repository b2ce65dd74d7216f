# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Means of bounds and gradients over their draws, to 1e-6, against integrals over z itself.

The objective's side is a batch of all quadrature nodes, each a draw; the other is a sum over a grid
of z, whose densities have the guide's parameters in them, so that nothing is reparameterised there.
"""

import math

import pytest
import torch

from pyro_textvae.infer import CIWAE, IWAE, PIWAE, BetaELBO, DReG, RenyiIWAE
from tests.infer.enumeration.programs import MEANS, Guide, Model, normal, value_and_gradients
from tests.infer.exact import gauss_hermite

X = torch.tensor([0.7]).double()
GRID = torch.linspace(-7.5, 7.5, 76, dtype=torch.float64)
STEP = (GRID[1] - GRID[0]).item()


def expected(objective, order, points):
    """The loss and its gradient, means over the noise of a draw of each particle."""
    model, guide, weights = at_nodes(order, objective.num_particles, points)
    x = X.expand(len(weights))
    _, gradients = value_and_gradients(objective, model, guide, x)
    with torch.no_grad():
        bounds = objective.bound(objective.terms(model, guide, x))
    rows = torch.cat([gradient.reshape(-1, len(x)) for gradient in gradients])
    return -(bounds @ weights).item(), rows @ weights


def at_nodes(order, num_particles, points):
    """Programs for as many data as there are nodes, each with the noise of its own, and weights."""
    shape = (3,) if order == "y then z" else ()
    shape += (num_particles,) if num_particles > 1 else ()
    nodes, weights = gauss_hermite(points, math.prod(shape))
    noise = nodes.T.reshape(*shape, len(weights))
    return Model(len(weights), order), Guide(len(weights), order, noise), weights


def exact(bound, order, num_particles):
    """Minus the mean of ``bound(log q(y), log w_y)`` over the guide's z, and its gradient."""
    model, guide = Model(1, order), Guide(1, order)
    dimensions = num_particles * (3 if order == "y then z" else 1)
    z = torch.cartesian_prod(*[GRID] * dimensions).reshape(-1, dimensions).T
    z = z.reshape(-1, num_particles, z.shape[-1])  # (3 or 1, K, grid)
    loc = guide.loc.unsqueeze(1) if order == "y then z" else guide.loc[1]
    log_density = normal(z, loc, guide.log_scale.exp())
    share = log_density.sum((0, 1)).exp() * STEP**dimensions
    z, log_density = (part.expand(3, -1, -1) for part in (z, log_density))
    logits = guide.logits.unsqueeze(1)
    if order == "z then y":
        logits = logits + z * guide.loc.unsqueeze(1)
    choice = logits.log_softmax(0).expand_as(z)
    log_joint = sum(part.expand_as(z) for part in model.parts(X, z))
    value = -(share * bound(choice, log_joint - log_density)).sum()
    parameters = [*guide.parameters(), *model.parameters()]
    found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return value.item(), torch.cat([row.flatten() for row in found])


def elbo(choice, log_weight):
    return (choice.exp() * (log_weight - choice)).sum(0).mean(0)


def importance(choice, log_weight):
    return log_weight.flatten(0, 1).logsumexp(0) - math.log(log_weight.shape[1])


def between(choice, log_weight):
    return 0.3 * elbo(choice, log_weight) + 0.7 * importance(choice, log_weight)


def renyi(choice, log_weight):
    powers = (0.3 * choice + 0.7 * log_weight).flatten(0, 1).logsumexp(0)
    return (powers - math.log(log_weight.shape[1])) / 0.7


CASES = [
    (BetaELBO(), elbo, "y then z", 16),
    (BetaELBO(), elbo, "z apart", 48),
    (BetaELBO(), elbo, "z then y", 96),
    (IWAE(1), importance, "y then z", 32),
    (DReG(1), importance, "y then z", 32),
    (CIWAE(1, 0.3), between, "y then z", 32),
    (RenyiIWAE(1, 0.3), renyi, "y then z", 32),
    (IWAE(2), importance, "z apart", 64),
    (DReG(2), importance, "z apart", 64),
    (DReG(2), importance, "z then y", 64),
    (PIWAE(2, 1), importance, "z then y", 64),
    (RenyiIWAE(2, 0.3), renyi, "z then y", 96),
]


@pytest.mark.parametrize(
    ("objective", "bound", "order", "points"), CASES, ids=lambda v: getattr(v, "__name__", None)
)
def test_mean_of_value_and_gradient_are_the_integrals(objective, bound, order, points):
    value, gradient = expected(objective, order, points)
    exact_value, exact_gradient = exact(bound, order, objective.num_particles)
    assert value == pytest.approx(exact_value, rel=1e-6)
    torch.testing.assert_close(gradient, exact_gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("order", "points"), [("y then z", 32), ("z apart", 96), ("z then y", 96)])
def test_weights_are_unbiased_for_the_likelihood(order, points):
    """E sum_y p(x, y, z_y) / q(z_y | y) = p(x), with no q(y) in it; and by value of y p(x, y)."""
    model, guide, weights = at_nodes(order, 1, points)
    with torch.no_grad():
        terms = IWAE(1).terms(model, guide, X.expand(len(weights)))
    log_prior = torch.tensor([0.3, -0.4, 0.1]).double().log_softmax(0)
    shift = torch.tensor([0.1, 0.4, -0.2]).double()
    of_values = (log_prior + normal(X, MEANS + shift, 1.64**0.5)).exp()
    (sums,) = terms.enumerated
    found = sums.log_weights_of("y")[:, 0].exp() @ weights
    torch.testing.assert_close(found, of_values, rtol=1e-6, atol=0)
    likelihood = terms.log_weights[0].exp() @ weights
    torch.testing.assert_close(likelihood, of_values.sum(), rtol=1e-6, atol=0)
