# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Weighted draws of the posterior against the posterior by quadrature."""

import math

import pytest
import torch
from pyro.distributions import Normal

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.posterior_draws import one_vector, posterior_draws


@pytest.fixture(scope="module")
def grid():
    points = torch.linspace(-6, 6, 61, dtype=torch.float64)
    return torch.cartesian_prod(points, points), 2 * math.log(12 / 60)


def _by_quadrature(model, tokens, points, log_cell, loc):
    """log p(x) and E[z | x] of each sentence under N(loc, 1)."""
    with torch.no_grad():
        log_px_given_z = torch.stack(
            [
                model.decoder(points).log_prob(row[row != 0].expand(len(points), -1))
                for row in tokens
            ]
        )
    log_joint = log_px_given_z + Normal(loc, 1.0).log_prob(points).sum(-1)
    return log_joint.logsumexp(1) + log_cell, log_joint.softmax(1) @ points


@pytest.mark.parametrize("loc", [0.0, 0.7])
def test_posterior_under_two_priors(pair, tokens, grid, loc):
    """Under the prior of the draws and another; |z| < 4.5 by the draws' own errors."""
    model, guide = pair
    draws = posterior_draws(model, guide, [{"tokens": tokens}], 4000, seed=1)
    log_prior = Normal(loc, 1.0).log_prob(draws.z).sum(-1)
    if loc == 0.0:
        torch.testing.assert_close(draws.log_prior, log_prior)
    log_px, mean = _by_quadrature(model, tokens, *grid, loc)
    log_weights = draws.log_ratio + log_prior
    weights = log_weights.softmax(0)
    error = (weights.square().sum(0) - 1 / 4000).sqrt()
    assert ((draws.log_px(log_prior) - log_px).abs() < 4.5 * error).all()
    by_draws = (weights.unsqueeze(-1) * draws.z).sum(0)
    spread = (weights.square().unsqueeze(-1) * (draws.z - by_draws).square()).sum(0).sqrt()
    assert ((by_draws - mean).abs() < 4.5 * spread).all()
    assert mean.abs().max() > 0.3


def test_resampled_draws_are_of_the_posterior(pair, tokens, grid):
    model, guide = pair
    draws = posterior_draws(model, guide, [{"tokens": tokens}], 2000, seed=1)
    z = draws.resampled(2000, torch.Generator().manual_seed(0))
    _, mean = _by_quadrature(model, tokens, *grid, 0.0)
    z = z.view(4, 2000, 2)
    assert ((z.mean(1) - mean).abs() < 4.5 * z.std(1) * math.sqrt(2 / 2000)).all()
    assert 1 < draws.median_ess <= 2000


def test_sentences_keep_their_draws_in_any_batch(pair, tokens):
    model, guide = pair
    both = posterior_draws(model, guide, [{"tokens": tokens}], 20)
    parts = posterior_draws(
        model, guide, [{"tokens": part} for part in (tokens[:1, :4], tokens[1:])], 20
    )
    torch.testing.assert_close(both.z, parts.z)
    torch.testing.assert_close(both.log_ratio, parts.log_ratio)


def test_one_vector_a_sentence():
    z = torch.zeros(3, 4, 2)
    assert one_vector({"z": z}) is z
    with pytest.raises(UserError, match=r"'z' \(5, 2\), and a prior is fitted to one vector"):
        one_vector({"z": torch.zeros(3, 4, 5, 2)})
    with pytest.raises(UserError, match=r"'z' \(2,\), 'y' \(2,\)"):
        one_vector({"z": z, "y": z})
