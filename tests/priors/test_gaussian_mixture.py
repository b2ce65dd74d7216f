# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import copy
import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily

from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.priors import GaussianMixture
from tests.priors.mixture_bounds import gaussian, kl_lower_bound, kl_upper_bound
from tests.priors.plane import kl_by_quadrature, mass, z_scores_of_draws


def uneven(**options):
    """Three components that differ in weight, place and width, in float64."""
    prior = GaussianMixture(2, 3, weights=[0.2, 0.5, 0.3], **options).double()
    with torch.no_grad():
        prior.loc.copy_(torch.tensor([[-2.0, 1.0], [0.5, -1.5], [2.0, 2.0]]))
        prior.log_scale.copy_(torch.tensor([[0.5, 1.2], [0.8, 0.4], [1.0, 0.7]]).log())
    return prior


def test_density_is_that_of_pytorch():
    prior = uneven()
    components = dist.Normal(prior.loc, prior.log_scale.exp()).to_event(1)
    reference = MixtureSameFamily(Categorical(logits=prior.logits), components)
    z = 2 * torch.randn(7, 4, 2).double()
    torch.testing.assert_close(prior().log_prob(z), reference.log_prob(z))
    torch.testing.assert_close(prior().mean, reference.mean)
    torch.testing.assert_close(prior().variance, reference.variance)


def test_density_integrates_to_one_and_draws_follow_it():
    """Smooth densities: the trapezoid rule is exact to rounding; |z| < 4.5 is 1 in 1e5 for six."""
    fn = uneven()()
    assert abs(mass(fn) - 1) < 1e-9
    assert z_scores_of_draws(fn).abs().max() < 4.5


def test_expanded_mixture_is_the_same_in_every_row():
    fn = uneven()()
    rows = fn.expand([3, 4])
    assert isinstance(rows, Mixture)
    assert (rows.batch_shape, rows.event_shape) == ((3, 4), (2,))
    drawn = rows.sample((5,))
    assert drawn.shape == (5, 3, 4, 2)
    assert len(drawn.reshape(-1, 2).unique(dim=0)) == 60
    torch.testing.assert_close(rows.log_prob(drawn), fn.log_prob(drawn))
    assert rows.log_prob(drawn[0, 0, 0]).shape == (3, 4)
    assert rows.mean.shape == rows.variance.shape == (3, 4, 2)


@pytest.mark.parametrize("loc", [[0.0, 0.0], [2.0, 1.8], [-6.0, 4.0]])
@pytest.mark.parametrize("scale", [0.1, 0.8, 2.0])
def test_kl_lies_between_its_bounds(loc, scale):
    """For a narrow, a fitting and a wide posterior; the bounds differ, so neither test is empty."""
    fn, q = uneven()(), gaussian(loc, scale)
    lower, upper = (b(q, fn.log_weights, fn.components) for b in (kl_lower_bound, kl_upper_bound))
    exact = kl_by_quadrature(q.base_dist.loc, q.base_dist.scale, fn)
    assert lower < exact < upper


def test_sampled_kl_of_a_pair_is_the_exact_one(pair, tokens):
    """What training uses; 20,000 draws for each of four sentences, |z| < 4.5."""
    model, guide = pair
    model.prior = uneven()
    with torch.no_grad():
        terms = PerDatumELBO(20_000).terms(model, guide, tokens=tokens)
        q = guide.posterior(guide.encoder(tokens))
    assert terms.closed_form == frozenset()
    fn = model.prior()
    for row in range(len(tokens)):
        loc, scale = q.base_dist.loc[row], q.base_dist.scale[row]
        drawn = terms.log_ratio["z"][:, row]
        exact = kl_by_quadrature(loc, scale, fn)
        assert ((drawn.mean() - exact) / (drawn.std() / len(drawn) ** 0.5)).abs() < 4.5
        one = gaussian(loc, scale)
        bounds = [b(one, fn.log_weights, fn.components) for b in (kl_lower_bound, kl_upper_bound)]
        assert bounds[0] < exact < bounds[1]
        # Analytic entropy: same mean, and no noise of its own.
        partly = -one.entropy() - terms.passes[0][0].log_prior[:, row]
        assert ((partly.mean() - exact) / (partly.std() / len(partly) ** 0.5)).abs() < 4.5


def test_gradient_is_that_of_the_density():
    prior = uneven()
    z = torch.randn(4, 2).double()

    def log_prob(logits, loc, log_scale):
        return torch.func.functional_call(
            prior, {"logits": logits, "loc": loc, "log_scale": log_scale}
        ).log_prob(z)

    values = [value.detach().clone().requires_grad_() for value in prior.parameters()]
    assert torch.autograd.gradcheck(log_prob, values)


def test_start():
    prior = GaussianMixture(3, 5, scale=0.5, spread=4.0)
    assert prior.log_scale.exp().allclose(torch.tensor(0.5))
    assert prior().log_weights.exp().allclose(torch.tensor(0.2))
    # The sum of 15 squared standard normals: outside of this once in 1e6.
    assert 1.5 < prior.loc.square().sum() / 16 < 55


@pytest.mark.parametrize("learned", [True, False])
def test_components_start_with_the_weights_that_are_given(learned):
    prior = GaussianMixture(2, 2, learned=learned, weights=[0.25, 0.75])
    torch.testing.assert_close(prior().log_weights.exp(), torch.tensor([0.25, 0.75]))


def test_fixed_mixture_is_saved_and_not_trained():
    prior = GaussianMixture(2, 3, learned=False)
    assert not list(prior.parameters())
    other = GaussianMixture(2, 3, learned=False)
    assert not other.loc.equal(prior.loc)
    other.load_state_dict(prior.state_dict())
    assert other.loc.equal(prior.loc)
    assert copy.deepcopy(prior).double()().sample().dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_components": 0}, "num_components must be at least 1, got 0"),
        ({"scale": 0.0}, "scale must be positive and finite, got 0.0"),
        ({"spread": math.inf}, "spread must be positive and finite, got inf"),
        ({"num_components": 2, "weights": [0.5, 0.6]}, r"sum 1, got \[0.5, 0.6\] with the sum 1.1"),
        ({"num_components": 2, "weights": [1.5, -0.5]}, "weights must be positive"),
        ({"num_components": 2, "weights": [math.nan, 1.0]}, "weights must be positive"),
        ({"num_components": 2, "weights": [1.0]}, "as many as num_components, 2, got 1"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, **options)


def test_weights_may_miss_the_sum_by_rounding_alone():
    GaussianMixture(2, 2, weights=[0.5, 0.500008])
    with pytest.raises(ValueError, match="weights must have the sum 1"):
        GaussianMixture(2, 2, weights=[0.5, 0.500015])


def test_components_that_do_not_fit():
    with pytest.raises(ValueError, match=r"got \(3,\) and \(2,\)"):
        Mixture(torch.zeros(2), dist.Normal(torch.zeros(3, 1), 1.0).to_event(1))
