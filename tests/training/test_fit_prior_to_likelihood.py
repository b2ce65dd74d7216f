# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Priors by Monte Carlo EM where the likelihood has a closed form: x = z + noise."""

import pytest
import torch
from pyro.distributions import Normal

from pyro_textvae.evaluation.posterior_draws import PosteriorDraws
from pyro_textvae.priors import StandardNormal
from pyro_textvae.training.fit_prior_to_likelihood import (
    fit_mixture_to_likelihood,
    fit_to_likelihood_by_gradient,
)

NOISE = 0.5


def _draws(x, num_samples=200):
    """Draws around x that are wider than any posterior here, and the prior N(0, 1)."""
    proposal = Normal(x, 2 * NOISE)
    z = proposal.sample((num_samples,))
    log_ratio = Normal(z, NOISE).log_prob(x) - proposal.log_prob(z)
    return PosteriorDraws(
        z.float(), log_ratio.sum(-1), Normal(torch.zeros(()).double(), 1.0).log_prob(z).sum(-1)
    )


@pytest.fixture
def data():
    """Half of z around -3, half around 3, of scale 0.4; and as much held out."""
    torch.manual_seed(0)
    signs = torch.tensor([-3.0, 3.0]).double().repeat(100).unsqueeze(1)
    return [signs + 0.4 * torch.randn(200, 2) + NOISE * torch.randn(200, 2) for _ in range(2)]


def test_likeliest_gaussian(data):
    """Of x with variance v, the likeliest prior has v - NOISE^2; of the latents' draws, more."""
    x = data[0][::2]
    result = fit_mixture_to_likelihood(_draws(x, 500), _draws(data[1][::2]), [1])
    prior = result.fitted.prior
    # The draws alone: 0.01 of the mean, 2 % of the variance.
    torch.testing.assert_close(prior.loc[0].double(), x.mean(0), atol=0.03, rtol=0)
    variance = (2 * prior.log_scale[0]).exp().double()
    wanted = x.var(0, correction=0) - NOISE**2
    torch.testing.assert_close(variance, wanted, atol=0.03, rtol=0)
    exact = Normal(prior.loc.double(), (variance + NOISE**2).sqrt()).log_prob(x).sum(-1).mean()
    assert result.log_px[-1] == pytest.approx(exact.item(), abs=0.05)


def test_no_step_lowers_the_likelihood(data):
    train, valid = map(_draws, data)
    result = fit_mixture_to_likelihood(train, valid, [1, 2, 5])
    trace = torch.tensor(result.log_px)
    assert (trace.diff() > -1e-9).all()
    assert trace[-1] > trace[0] + 2
    assert result.log_px[0] == pytest.approx(float(train.log_px(train.log_prior).mean()))
    assert result.fitted.tried[2] > result.fitted.tried[1] + 0.5
    assert result.fitted.prior.num_components >= 2
    again = fit_mixture_to_likelihood(train, valid, start=result.fitted.prior)
    # EM has ended there, but for the prior's precision.
    assert again.log_px[-1] == pytest.approx(result.log_px[-1], abs=1e-3)
    assert again.log_px[-1] >= again.log_px[1] - 1e-9


def test_by_gradient(data):
    """Back to where EM ends, from a prior beside it."""
    train, valid = (_draws(each[::2], 50) for each in data)
    by_em = fit_mixture_to_likelihood(train, valid, [1])
    prior = by_em.fitted.prior
    with torch.no_grad():
        prior.loc += 0.2
    result = fit_to_likelihood_by_gradient(prior, train, valid, go_on=True)
    assert result.log_px[-1] > result.log_px[1] + 0.05
    assert result.log_px[-1] == pytest.approx(by_em.log_px[-1], abs=0.02)
    assert result.fitted.log_density == pytest.approx(by_em.fitted.log_density, abs=0.02)
    with pytest.raises(ValueError, match="nothing to be fitted"):
        fit_to_likelihood_by_gradient(StandardNormal(2), train, valid)
