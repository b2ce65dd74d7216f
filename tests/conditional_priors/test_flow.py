# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The flow prior given a source, against integrals over the plane and automatic differentiation."""

import pytest
import torch
from torch.distributions import Normal

from pyro_textvae.conditional_priors import ConditionalFlow, ConditionalGaussian
from tests.priors.plane import mass, z_scores_of_draws

FEATURES = torch.tensor([[1.0, -0.5, 2.0], [-2.0, 0.5, 0.0]], dtype=torch.float64)


def bent(latent_dim=2, num_flow_steps=2):
    """Far from a Gaussian, in float64."""
    torch.manual_seed(1)
    prior = ConditionalFlow(3, latent_dim, num_flow_steps, flow_hidden_dim=8).double()
    with torch.no_grad():
        for step in prior.steps:
            for parameter in step.nn.layers[-1].parameters():
                parameter.mul_(5.0)
        for layer in (prior.loc, prior.log_variance):
            layer.weight.mul_(0.3)
    return prior


@pytest.mark.parametrize("row", [0, 1])
def test_density_integrates_to_one_and_draws_follow_it(row):
    """The trapezoid rule on a grid that is cheap enough; |z| < 4.5 for draws."""
    fn = bent()(FEATURES[row])
    assert abs(mass(fn, bound=9, points=241) - 1) < 1e-4
    assert z_scores_of_draws(fn, size=10_000, bound=9, points=241).abs().max() < 4.5


def test_density_is_that_of_the_change_of_variables():
    """log p(z | s) with the Jacobian by automatic differentiation, at values it did not draw."""
    prior = bent(3, 3)
    for features in FEATURES:
        fn = prior(features)

        def noise(z, fn=fn):
            for transform in reversed(fn.transforms):
                z = transform.inv(z)
            return z

        for z in 2 * torch.randn(3, 3).double():
            jacobian = torch.autograd.functional.jacobian(noise, z)
            expected = Normal(0.0, 1.0).log_prob(noise(z)).sum() + jacobian.slogdet().logabsdet
            torch.testing.assert_close(prior(features).log_prob(z), expected)


def test_draws_that_share_a_source_are_scored_as_each_alone():
    prior, z = bent(), 2 * torch.randn(4, 2, 2).double()
    together = prior(FEATURES).log_prob(z)
    assert together.shape == (4, 2)
    assert torch.equal(prior(FEATURES).expand([4, 2]).log_prob(z), together)
    for row, features in enumerate(FEATURES):
        torch.testing.assert_close(prior(features).log_prob(z[:, row]), together[:, row])
    assert (together - prior(FEATURES.flip(0)).log_prob(z)).abs().min() > 1e-3
    drawn = prior(FEATURES).expand([5, 2])
    values = drawn.rsample()
    torch.testing.assert_close(drawn.log_prob(values), prior(FEATURES).log_prob(values))


def test_without_its_steps_it_is_the_gaussian():
    prior, gaussian = bent(), ConditionalGaussian(3, 2).double()
    gaussian.load_state_dict(
        {n: v for n, v in prior.state_dict().items() if not n.startswith("steps")}
    )
    z = torch.randn(4, 2, 2).double()
    assert (prior(FEATURES).log_prob(z) - gaussian(FEATURES).log_prob(z)).abs().max() > 0.1
    with torch.no_grad():
        for step in prior.steps:
            for parameter in step.nn.layers[-1].parameters():
                parameter.zero_()
            for parameter in step.nn.parameters():
                parameter.zero_()
    torch.testing.assert_close(prior(FEATURES).log_prob(z), gaussian(FEATURES).log_prob(z))


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="latent_dim"):
        ConditionalFlow(3, 1)
    with pytest.raises(ValueError, match="flow_hidden_dim"):
        ConditionalFlow(3, 4, flow_hidden_dim=2)
