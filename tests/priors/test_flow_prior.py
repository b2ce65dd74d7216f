# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import copy
import math

import pytest
import torch
from torch.distributions import Normal

from pyro_textvae.priors import FlowPrior
from tests.priors.plane import mass, z_scores_of_draws

FLOWS = ["affine_autoregressive", "spline_autoregressive", "affine_coupling", "spline_coupling"]


def bent(flow, latent_dim=2, **options):
    """Far from the identity, in float64."""
    torch.manual_seed(3)
    prior = FlowPrior(latent_dim, flow=flow, hidden_dim=16, **options).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(2.0)
    return prior


# Splines have a jump in the slope of the density at each of their knots, and cost ten times more.
GRIDS = {
    "affine": ({"bound": 6.5, "points": 241}, 1e-4),
    "spline": ({"bound": 6, "points": 121}, 0.01),
}


@pytest.mark.parametrize("flow", FLOWS)
def test_density_integrates_to_one_and_draws_follow_it(flow):
    """To the error of the trapezoid rule on a grid that is cheap enough; |z| < 4.5 for draws."""
    grid, tolerance = GRIDS[flow.partition("_")[0]]
    fn = bent(flow)()
    assert abs(mass(fn, **grid) - 1) < tolerance
    assert z_scores_of_draws(fn, size=10_000, **grid).abs().max() < 4.5


@pytest.mark.slow
@pytest.mark.parametrize("flow", FLOWS)
def test_density_integrates_to_one_on_a_fine_grid(flow):
    """Measured: 3e-8, 2e-5, 8e-8 and 4e-5."""
    assert abs(mass(bent(flow)(), bound=8, points=801) - 1) < 1e-4


@pytest.mark.parametrize("flow", FLOWS)
def test_density_is_that_of_the_change_of_variables(flow):
    """log p(z) with the Jacobian by automatic differentiation, at values that it did not draw."""
    prior = bent(flow, 3, num_flow_layers=3)
    fn = prior()

    def noise(z):
        for transform in reversed(fn.transforms):
            z = transform.inv(z)
        return z

    for z in 2 * torch.randn(5, 3).double():
        jacobian = torch.autograd.functional.jacobian(noise, z)
        expected = Normal(0.0, 1.0).log_prob(noise(z)).sum() + jacobian.slogdet().logabsdet
        torch.testing.assert_close(prior().log_prob(z), expected)
        torch.testing.assert_close(prior().expand([4]).log_prob(z), expected.expand(4))


@pytest.mark.parametrize("flow", FLOWS)
def test_every_dimension_is_transformed_by_two_layers(flow):
    """The layers take turns: with one alone, some dimension depends on no other."""
    prior = bent(flow, 3, num_flow_layers=2)
    z = torch.randn(3).double().requires_grad_()
    jacobian = torch.autograd.functional.hessian(lambda z: prior().log_prob(z), z)
    assert (jacobian.abs() > 1e-9).all()


@pytest.mark.parametrize("flow", FLOWS)
def test_parameters_that_move_move_the_density(flow):
    """The same tensor, scored before and after a step: no memory of the step before."""
    prior, z = bent(flow), torch.randn(4, 2).double()
    before = prior().log_prob(z)
    before.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in prior.parameters())
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.05)
    after = prior().log_prob(z)
    assert (after - before).abs().min() > 1e-4
    torch.testing.assert_close(after, prior().log_prob(z.clone()), rtol=0, atol=0)
    # A module that kept what it saw could not be copied.
    torch.testing.assert_close(copy.deepcopy(prior)().log_prob(z), after, rtol=0, atol=0)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_draw_is_scored_as_any_value(flow):
    fn = bent(flow, 3)().expand([5])
    z = fn.rsample()
    assert z.requires_grad
    torch.testing.assert_close(fn.log_prob(z), fn.log_prob(z.clone()))
    # After a value that was scored before it, too.
    fn.log_prob(torch.zeros(5, 3).double())
    z = fn.rsample()
    torch.testing.assert_close(fn.log_prob(z), fn.log_prob(z.clone()))
    single = bent(flow, 3).float()().sample((4,))
    assert (single.dtype, single.shape) == (torch.float32, (4, 3))


@pytest.mark.parametrize("flow", FLOWS)
def test_fewer_draws_than_dimensions_are_scored_as_any_value(flow):
    fn = bent(flow, 5)()
    for shape in ((), (2,)):
        z = fn.sample(shape)
        torch.testing.assert_close(fn.log_prob(z), fn.log_prob(z.clone()))


def test_weights_come_back():
    for flow in FLOWS:
        prior, other = bent(flow), FlowPrior(2, flow=flow, hidden_dim=16).double()
        other.load_state_dict(prior.state_dict())
        z = torch.randn(4, 2).double()
        torch.testing.assert_close(other().log_prob(z), prior().log_prob(z), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flow": "planar"}, "'planar' cannot score a z that it did not draw.*affine_coupling"),
        ({"flow": "splin_coupling"}, "no flow 'splin_coupling': did you mean 'spline_coupling'"),
        ({"flow": "glow"}, "no flow 'glow': one of affine_autoregressive, "),
        ({"num_flow_layers": 0}, "num_flow_layers must be at least 1, got 0"),
        ({"hidden_dim": 2}, "hidden_dim must be at least 3, got 2"),
        ({"latent_dim": 1}, "latent_dim must be at least 2, got 1"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(ValueError, match=message):
        FlowPrior(**{"latent_dim": 3, **options})


def test_an_identity_is_the_standard_normal():
    prior = FlowPrior(2).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.zero_()
    z = torch.randn(6, 2).double()
    expected = -0.5 * z.square().sum(-1) - math.log(2 * math.pi)
    torch.testing.assert_close(prior().log_prob(z), expected)
