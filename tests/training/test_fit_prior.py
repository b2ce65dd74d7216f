# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Priors fitted to draws of a known density: as dense as that density is to itself."""

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.priors import FlowPrior, GaussianMixture, StandardNormal
from pyro_textvae.training.fit_prior import best_number, fit_by_gradient, fit_mixture


def _truth():
    """Two well separated Gaussians of unequal weight and unequal scales."""
    locs, scales = torch.tensor([[-3.0, 1.0], [2.0, 0.0]]), torch.tensor([[0.5, 1.0], [1.5, 0.2]])
    components = dist.Normal(locs, scales).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.3, 0.7])), components)


@pytest.fixture
def draws():
    torch.manual_seed(0)
    return _truth().sample((4000,)), _truth().sample((4000,))


def test_mixture_is_the_truth(draws):
    """The divergence to the truth by held-out draws: of 9 parameters in 4,000 draws, 0.001."""
    fitted = fit_mixture(*draws, [1, 2])
    assert fitted.prior.num_components == 2
    held_out = draws[1]
    gap = _truth().log_prob(held_out) - fitted.prior().log_prob(held_out)
    assert abs(gap.mean()) < 0.01
    assert fitted.log_density == pytest.approx(
        fitted.prior().log_prob(held_out).mean().item(), abs=1e-4
    )
    order = fitted.prior.loc[:, 0].argsort()
    torch.testing.assert_close(
        fitted.prior.logits.exp()[order], torch.tensor([0.3, 0.7]), atol=0.03, rtol=0
    )
    scales = fitted.prior.log_scale.exp()[order]
    torch.testing.assert_close(scales, torch.tensor([[0.5, 1.0], [1.5, 0.2]]), atol=0.06, rtol=0)


def test_held_out_draws_choose_the_number():
    """In few draws of one Gaussian, more components fit the draws and not the others."""
    torch.manual_seed(0)
    fitted = fit_mixture(torch.randn(200, 3), torch.randn(2000, 3), [1, 20])
    assert fitted.prior.num_components == 1
    assert fitted.tried[1] > fitted.tried[20]


def test_more_are_tried_while_they_are_better():
    """Above 50; below, a number may be worse than both beside it."""
    scores = {1: 0.0, 2: -1.0, 50: 1.0, 100: 2.0, 200: 1.5, 400: 9.0}
    best, fitted, tried = best_number([400, *scores], lambda number: (scores[number], f"{number}"))
    assert (best, fitted, list(tried)) == (100, "100", [1, 2, 50, 100, 200])
    worse = {2: 3.0, 50: 1.0, 100: 9.0}
    assert best_number(list(worse), lambda number: (worse[number], None))[0] == 2
    assert best_number([200], lambda number: (0.0, None))[0] == 200


def test_flow_by_gradient(draws):
    """Nearer to the truth than the best Gaussian is, and the best weights are kept."""
    draws = draws[0][:1000], draws[1][:1000]
    torch.manual_seed(0)
    one = fit_mixture(*draws, [1]).log_density
    fitted = fit_by_gradient(FlowPrior(2, "spline_coupling", hidden_dim=8), *draws)
    assert fitted.log_density > one + 0.3
    assert fitted.log_density == pytest.approx(
        fitted.prior().log_prob(draws[1]).mean().item(), abs=1e-4
    )
    assert fitted.log_density < _truth().log_prob(draws[1]).mean() + 0.05


def test_nothing_to_fit(draws):
    with pytest.raises(UserError, match="StandardNormal has nothing to be fitted"):
        fit_by_gradient(StandardNormal(2), *draws)
    with pytest.raises(UserError, match="nothing to be fitted"):
        fit_by_gradient(GaussianMixture(2, learned=False), *draws)
    with pytest.raises(UserError, match="5 components cannot be fitted to 30 draws"):
        fit_mixture(torch.randn(30, 2), torch.randn(30, 2), [5])
