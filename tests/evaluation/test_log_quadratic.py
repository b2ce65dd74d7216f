# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Regression of a log-density, which ``mixture`` fits by in more than 8 dimensions."""

import math

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.families import GaussianFamily
from pyro_textvae.evaluation.families.log_quadratic import log_quadratic_fit
from pyro_textvae.evaluation.proposals import AutoProposal, MixtureProposal
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.evaluation.replicates import Numbered, TableGuide, diagonal, replicates, z_score

DIM = 10


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def goal(dim):
    """A correlated Gaussian near the standard normal."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(dim, dim, generator=generator).double() / math.sqrt(4 * dim)
    covariance = 0.6 * torch.eye(dim).double() + noise @ noise.T
    return dist.MultivariateNormal(torch.linspace(-0.4, 0.6, dim).double(), covariance)


def log_ratio(fn, u):
    return fn.log_prob(u) - dist.Normal(0.0, 1.0).expand(u.shape[-1:]).to_event(1).log_prob(u)


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2)).double()


def equal(count, num=1):
    return torch.full((count, num), 1 / count).double()


def test_gaussian_is_recovered_but_for_the_ridge():
    """Of moments of as many draws the error is a twentieth."""
    fn, u = goal(4), normal(400, 1, 4)
    loc, scale_tril = log_quadratic_fit(u, 7.0 + log_ratio(fn, u), equal(len(u)))
    torch.testing.assert_close(loc[0], fn.mean, rtol=0, atol=0.01)
    found = scale_tril[0] @ scale_tril[0].T
    torch.testing.assert_close(found, fn.covariance_matrix, rtol=0, atol=0.005)


def test_fewer_points_than_coefficients_are_drawn_towards_the_standard_normal():
    """Nearer to the density than the standard normal is, and no wider than that."""
    fn, u = goal(DIM), normal(30, 1, DIM)
    loc, scale_tril = log_quadratic_fit(u, log_ratio(fn, u), equal(30))
    fit = dist.MultivariateNormal(loc[0], scale_tril=scale_tril[0])
    standard = dist.MultivariateNormal(torch.zeros(DIM).double(), torch.eye(DIM).double())
    kl = [dist.kl.kl_divergence(fn, one).item() for one in (fit, standard)]
    assert kl[0] < 0.4 * kl[1]


def test_constant_of_the_log_density_has_no_effect():
    fn, u = goal(3), normal(50, 2, 3)
    shares = normal(50, 2).softmax(0)
    one = log_quadratic_fit(u, log_ratio(fn, u), shares)
    other = log_quadratic_fit(u, log_ratio(fn, u) - 1e3, shares)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_points_without_a_share_have_no_effect():
    fn, u = goal(3), normal(60, 1, 3)
    heights = log_ratio(fn, u)
    heights[50:] = -torch.inf
    shares = torch.cat([equal(50), torch.zeros(10, 1).double()])
    alone = log_quadratic_fit(u[:50], heights[:50], equal(50))
    torch.testing.assert_close(log_quadratic_fit(u, heights, shares), alone, rtol=0, atol=1e-9)


def test_no_possible_point_leaves_the_standard_normal():
    u = normal(20, 1, 3)
    loc, scale_tril = log_quadratic_fit(u, torch.full((20, 1), -torch.inf), torch.zeros(20, 1))
    assert loc.abs().max() < 1e-6
    torch.testing.assert_close(scale_tril[0], torch.eye(3).double(), rtol=0, atol=1e-6)


def test_far_mean_and_scale_are_held():
    """A density that grows outwards is no Gaussian: the fit is wide, and within a typical point."""
    u = normal(200, 1, 3)
    loc, scale_tril = log_quadratic_fit(u, 5 * u.square().sum(-1) + 50 * u[..., 0], equal(200))
    assert scale_tril.diagonal(dim1=-2, dim2=-1).max() < 3.2
    assert loc.norm() < math.sqrt(3) + 1e-6


@pytest.mark.parametrize("full", [False, True])
def test_family_fits_in_the_units_of_a_member(full):
    """Whatever the guide's mean and scale, and after a refinement."""
    fn = goal(DIM)
    scale_tril = torch.linspace(0.8, 1.3, DIM).double()
    if full:
        scale_tril = torch.linalg.cholesky(goal(DIM).covariance_matrix + 0.3)
    origin, step = 0.3 * normal(DIM), 0.2 * normal(DIM)
    family = GaussianFamily(*(part.unsqueeze(0) for part in (origin, scale_tril, step, step)))
    z = family.sample(1000, [5])
    log_joint = fn.log_prob(z)
    fit = family.regressed(z, log_joint - 3.0, log_joint - family.log_prob(z))
    fit = dist.MultivariateNormal(fit.origin[0], scale_tril=fit.scale_tril[0])
    assert dist.kl.kl_divergence(fn, fit) < 0.02


@pytest.fixture
def linear():
    """A model of ten correlated latents, x of four, and its exact log p(x)."""
    model = LinearGaussian(DIM)
    torch.manual_seed(0)
    _, x = model.simulate(4)
    return model, x


def narrow_guide(model, x):
    posterior = model.posterior(x)
    scale = posterior.covariance_matrix.inverse().diagonal(dim1=-2, dim2=-1).rsqrt()
    return TableGuide(diagonal, posterior.mean + 0.5 * scale, 0.7 * scale)


def test_mixture_meets_a_correlated_posterior_of_many_dimensions(linear):
    """With a diagonal Gaussian the error is above half a nat."""
    model, x = linear
    batches, exact = [replicates(x, 5)], model.log_px(x).repeat(5)
    guide = narrow_guide(model, x)
    result = log_likelihood(Numbered(model), guide, batches, 300, 0, proposal=MixtureProposal())
    assert (result.log_px - exact).square().mean().sqrt() < 0.08
    assert (result.decoder_evaluations == 3 * 40 + 4 * 64 + 300).all()


def test_mixture_meets_a_correlated_posterior_of_five_dimensions():
    """Where modes are looked for too. By moments alone the error is above a fifth of a nat."""
    model = LinearGaussian(5)
    torch.manual_seed(0)
    _, x = model.simulate(4)
    batches, exact = [replicates(x, 5)], model.log_px(x).repeat(5)
    guide = narrow_guide(model, x)
    result = log_likelihood(Numbered(model), guide, batches, 300, 0, proposal=MixtureProposal())
    assert (result.log_px - exact).square().mean().sqrt() < 0.05
    assert (result.decoder_evaluations == 3 * 40 + 3 * 8 + 2 * 64 + 300).all()


def test_mean_of_the_estimates_is_the_probability(linear):
    """Through all stages, with few draws."""
    model, x = linear
    guide, proposal = narrow_guide(model, x), AutoProposal(pilot_draws=16)
    result = log_likelihood(Numbered(model), guide, [replicates(x, 16)], 40, 0, proposal=proposal)
    ratios = (result.log_px - model.log_px(x).repeat(16)).exp()
    assert abs(z_score(ratios, 1.0)) < 4.5
    assert (result.decoder_evaluations > 3 * 40 + 4 * 16 + 40).any()
