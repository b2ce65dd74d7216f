# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.infer import VIMCO, BetaELBO, DReG, MaximumMeanDiscrepancy, WakeSleep
from pyro_textvae.infer.constraints.maximum_mean_discrepancy import squared_discrepancy

KERNELS = {
    "gaussian": lambda squared, width: math.exp(-squared / width),
    "inverse_multiquadratic": lambda squared, width: width / (width + squared),
}


def expected_kernel(shift, variance, bandwidth):
    """E exp(-|a - b|^2 / (2 h^2)) of a - b ~ N(shift, variance), dimension by dimension."""
    total = bandwidth**2 + variance
    factors = (bandwidth**2 / total).sqrt() * (-0.5 * shift.square() / total).exp()
    return factors.prod().item()


@pytest.mark.parametrize("num_draws", [2, 7])
def test_estimate_has_the_closed_form_of_two_gaussians_as_its_mean(num_draws):
    """|z| < 4.5 over 20,000 independent sets fails once in 150,000 seeds when right."""
    loc = torch.tensor([0.7, -0.4, 0.0]).double()
    scale = torch.tensor([0.5, 1.0, 1.4]).double()
    bandwidth, none = 1.2, torch.zeros(3).double()
    exact = (
        expected_kernel(none, 2 * scale.square(), bandwidth)
        + expected_kernel(none, 2 * torch.ones(3).double(), bandwidth)
        - 2 * expected_kernel(loc, scale.square() + 1, bandwidth)
    )
    draws = loc + scale * torch.randn(20_000, num_draws, 3).double()
    of_prior = torch.randn(20_000, num_draws, 3).double()
    found = squared_discrepancy(draws, of_prior, "gaussian", bandwidth)
    assert exact > 0.02
    assert abs(found.mean().item() - exact) / (found.std().item() / math.sqrt(20_000)) < 4.5


def by_hand(draws, of_prior, kernel, bandwidth):
    """Of one set of draws, pair by pair."""
    count = len(draws)

    def squared(a, b):
        return (a - b).square().sum().item()

    unequal = [(i, j) for i in range(count) for j in range(count) if i != j]
    if bandwidth is None:
        width = sum(squared(of_prior[i], of_prior[j]) for i, j in unequal) / len(unequal)
    else:
        width = 2 * bandwidth**2
    k = KERNELS[kernel]
    within = sum(
        k(squared(side[i], side[j]), width) for side in (draws, of_prior) for i, j in unequal
    )
    across = sum(k(squared(a, b), width) for a in draws for b in of_prior)
    return within / len(unequal) - 2 * across / count**2


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bandwidth", [None, 0.8])
@pytest.mark.parametrize(("num_particles", "vectorised"), [(1, True), (3, True), (3, False)])
def test_value_is_that_of_the_formula(pair, tokens, kernel, bandwidth, num_particles, vectorised):
    constraint = MaximumMeanDiscrepancy(20.0, 0.3, kernel, bandwidth)
    objective = BetaELBO(num_particles=num_particles, vectorize_particles=vectorised)
    terms = objective.terms(*pair, tokens=tokens)
    pyro.set_rng_seed(9)
    found = constraint(terms)
    pyro.set_rng_seed(9)
    draws = torch.cat([sites[0].draw.reshape(-1, 4, 2) for sites in terms.passes])
    of_prior = torch.cat([sites[0].prior.sample().reshape(-1, 4, 2) for sites in terms.passes])
    each = [by_hand(a, b, kernel, bandwidth) for a, b in zip(draws, of_prior, strict=True)]
    expected = 0.7 * terms.total_kl[0] + (0.3 + 20 - 1) * sum(each) / num_particles
    assert len(each) == num_particles
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("objective", [BetaELBO, DReG])
def test_gradient_goes_through_the_draws_and_not_to_the_model(pair, tokens, objective):
    """Difference of two gradients at one seed, against the same quantity of loc + scale * noise."""
    model, guide = pair
    parameters = list(guide.parameters())
    weight, gradients = 20.0, []
    for constraint in (MaximumMeanDiscrepancy(weight, bandwidth=1.0), None):
        pyro.set_rng_seed(3)
        joined = objective(num_particles=2, constraint=constraint)
        loss = joined.differentiable_loss(model, guide, tokens=tokens)
        gradients.append(
            torch.autograd.grad(loss, parameters + list(model.parameters()), retain_graph=True)
        )
    pyro.set_rng_seed(3)
    features = guide.encoder(tokens)
    scale = (0.5 * guide.log_variance(features)).exp()
    draws = dist.Normal(guide.loc(features), scale).expand([2, 4, 2]).rsample()
    of_prior = dist.Normal(torch.zeros(2, 4, 2).double(), 1.0).sample()
    found = squared_discrepancy(draws, of_prior, "inverse_multiquadratic", 1.0).mean()
    expected = torch.autograd.grad(4 * (weight - 1) * found, parameters)
    for one, other, truth in zip(*gradients, expected, strict=False):
        torch.testing.assert_close(one - other, truth, rtol=1e-7, atol=1e-9)
    for one, other in zip(*(g[len(parameters) :] for g in gradients), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_batch_of_one_sentence_has_no_estimate(pair, tokens):
    objective = BetaELBO(num_particles=3)
    terms = objective.terms(*pair, tokens=tokens[:1])
    found = MaximumMeanDiscrepancy(20.0, 0.3)(terms)
    torch.testing.assert_close(found, 0.7 * terms.total_kl[0], rtol=1e-12, atol=0)


def test_draws_without_a_gradient_are_refused(pair, tokens):
    def model(tokens):
        with pyro.plate("data", len(tokens)):
            rate = torch.full((len(tokens),), 0.5)
            pyro.sample("y", dist.Bernoulli(rate))
            pyro.sample("x", dist.Bernoulli(rate), obs=torch.ones(len(tokens)))

    def guide(tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("y", dist.Bernoulli(torch.full((len(tokens),), 0.3, requires_grad=True)))

    constraint = MaximumMeanDiscrepancy(20.0)
    with pytest.raises(ValueError, match="would have no gradient, .* of site 'y'"):
        VIMCO(2, constraint=constraint).differentiable_loss(model, guide, tokens=tokens)
    with pytest.raises(ValueError, match="joined to WakeSleep would have no gradient"):
        WakeSleep(2, constraint=constraint).differentiable_loss(*pair, tokens=tokens)
