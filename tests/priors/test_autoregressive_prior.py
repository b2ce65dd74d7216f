# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch.distributions import Normal

from pyro_textvae.distributions.autoregressive_normal import AutoregressiveNormal
from pyro_textvae.priors import AutoregressivePrior
from tests.priors.plane import mass, z_scores_of_draws


def bent(latent_dim):
    """Far from the standard normal, in float64."""
    torch.manual_seed(3)
    prior = AutoregressivePrior(latent_dim, hidden_dim=16).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(2.0)
    return prior


def test_density_integrates_to_one_and_draws_follow_it():
    """A smooth density: the trapezoid rule is exact to rounding; |z| < 4.5 for draws."""
    fn = bent(2)()
    grid = {"bound": 12.0, "points": 301}
    assert abs(mass(fn, **grid) - 1) < 1e-6
    assert z_scores_of_draws(fn, **grid).abs().max() < 4.5


def test_every_dimension_is_normal_given_those_before():
    prior, z = bent(4), torch.randn(3, 4).double()
    loc, log_scale = prior.network(z)
    expected = Normal(loc, log_scale.exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(prior().log_prob(z), expected)
    for outputs in (loc, log_scale):
        for j in range(4):
            other = z.clone()
            other[:, j:] += 1.0
            again = dict(zip(("loc", "log_scale"), prior.network(other), strict=True))
            found = again["loc" if outputs is loc else "log_scale"]
            torch.testing.assert_close(found[:, : j + 1], outputs[:, : j + 1], rtol=0, atol=0)
            assert (found[:, j + 1 :] - outputs[:, j + 1 :]).abs().sum() > 0 or j == 3


def test_draws_solve_their_own_equations():
    """z_j = loc_j(z_<j) + scale_j(z_<j) noise_j, coordinate by coordinate."""
    prior = bent(4)
    torch.manual_seed(5)
    drawn = prior().rsample((6,))
    torch.manual_seed(5)
    noise = torch.empty(6, 4).double().normal_()
    z = torch.zeros(6, 4).double()
    for j in range(4):
        loc, log_scale = prior.network(z)
        z[:, j] = (loc + log_scale.exp() * noise)[:, j].detach()
    torch.testing.assert_close(drawn, z)
    drawn.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in prior.parameters())


def test_expanded_prior_is_the_same_in_every_row():
    fn = bent(3)()
    rows = fn.expand([2, 4])
    assert isinstance(rows, AutoregressiveNormal)
    z = rows.sample((5,))
    assert z.shape == (5, 2, 4, 3)
    torch.testing.assert_close(rows.log_prob(z), fn.log_prob(z))
    assert rows.log_prob(z[0, 0, 0]).shape == (2, 4)


def test_wrong_settings():
    with pytest.raises(ValueError, match="latent_dim must be at least 2, got 1"):
        AutoregressivePrior(1, 8)
    with pytest.raises(ValueError, match="hidden_dim must be at least 4, got 3"):
        AutoregressivePrior(4, 3)


def test_values_are_checked_where_arguments_are_validated():
    def network(z):
        return torch.zeros_like(z), torch.zeros_like(z)

    bad = torch.full((3,), torch.nan)
    with pytest.raises(ValueError, match="within the support"):
        AutoregressiveNormal(network, torch.zeros(3), validate_args=True).log_prob(bad)
    unchecked = AutoregressiveNormal(network, torch.zeros(3), validate_args=False)
    assert unchecked.log_prob(bad).isnan()
