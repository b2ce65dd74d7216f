# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule

from pyro_textvae.evaluation.annealing.bidirectional import bidirectional_check
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import UniformSphere
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.quadrature import log_px_by_quadrature


class PriorGuide(PyroModule):
    """q(z | x) = p(z)."""

    def __init__(self, model):
        super().__init__("guide")
        self.prior = model.prior

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", self.prior(len(tokens)))


def simulated(model, guide, size, seed):
    """The observations that the check made for itself."""
    with evaluation_mode(model, guide, seed_of(seed, "simulation") % 2**31):
        return poutine.trace(model).get_trace(size=size).nodes["x"]["value"]


def assert_unbiased(result, exact):
    """E exp(lower) = p(x) and E exp(-upper) = 1 / p(x), over sentences and all that is random."""
    for ratio in ((result.lower - exact).exp(), (exact - result.upper).exp()):
        assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / math.sqrt(len(ratio))


@pytest.fixture(scope="module")
def sandwiches():
    """From the prior in four dimensions, by 10 and 40 temperatures, and the exact values."""
    model = LinearGaussian(4)
    guide = PriorGuide(model)
    results = {
        count: bidirectional_check(
            model,
            guide,
            48,
            settings=AnnealingSettings(4, count, leapfrog_steps=2),
            max_tokens=10**6,
        )
        for count in (10, 40)
    }
    return results, model.log_px(simulated(model, guide, 48, 0))


def test_bounds_are_on_both_sides_of_the_truth(sandwiches):
    """Short annealing is far off on both sides, each by more than 3 errors over 48 sentences."""
    results, exact = sandwiches
    short = results[10]
    for distance in (exact - short.lower, short.upper - exact):
        assert distance.mean() > 3 * distance.std() / math.sqrt(48)
    assert short.mean_gap > 1.0
    assert short.is_consistent


def test_gap_closes_with_more_temperatures(sandwiches):
    """Four times as many: the gap of 3.4 falls with one over their number, or faster."""
    results, exact = sandwiches
    long = results[40]
    assert long.mean_gap < 0.4 * results[10].mean_gap
    assert long.mean_gap > -3 * long.gap_standard_error
    assert long.is_consistent
    assert_unbiased(long, exact)


def test_bounds_of_text_hold_the_exact_likelihood_between_them(pair):
    """Rows that were cut off without an <eos> among them; truth from a 161 x 161 grid."""
    model, guide = pair
    with torch.no_grad():
        model.decoder.token_scores.bias[EOS - FIRST_EMITTED] -= 3.0
    settings = AnnealingSettings(num_chains=8, num_temperatures=20, leapfrog_steps=2)
    result = bidirectional_check(model, guide, 10, settings=settings)
    rows = simulated(model, guide, 10, 0)
    assert 0 < (rows != EOS).all(1).sum() < 10
    distinct, place = rows.unique(dim=0, return_inverse=True)
    exact = log_px_by_quadrature(model.decoder, distinct, 2)[place]
    assert ((result.lower - exact) / result.lower_error).abs().max() < 4.5
    assert exact.std() > 1.0
    assert_unbiased(result, exact)
    assert (result.upper - exact).std() / math.sqrt(
        10
    ) < 0.1  # so that a wrong bound could not pass
    assert result.is_consistent


def test_exact_posterior_leaves_no_gap():
    model = LinearGaussian(3)

    class ExactGuide(PyroModule):
        def forward(self, tokens, *, size=None):
            with pyro.plate("data", len(tokens)):
                pyro.sample("z", model.posterior(tokens))

    settings = AnnealingSettings(num_chains=2, num_temperatures=3)
    result = bidirectional_check(model, ExactGuide(), 5, settings=settings)
    exact = model.log_px(simulated(model, ExactGuide(), 5, 0))
    torch.testing.assert_close(result.lower, exact, rtol=0, atol=1e-10)
    torch.testing.assert_close(result.upper, exact, rtol=0, atol=1e-10)


def test_summary_is_made_of_its_columns_and_can_be_written(sandwiches):
    result = sandwiches[0][10]
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert summary["num_sentences"] == 48
    assert summary["gap"] == pytest.approx(summary["upper"] - summary["lower"])
    error = (result.upper - result.lower).std().item() / math.sqrt(48)
    assert summary["gap_standard_error"] == pytest.approx(error)
    assert summary["is_consistent"] is True
    assert 0.6 < summary["lower_acceptance"] < 0.95
    assert 0.6 < summary["upper_acceptance"] < 0.95
    pilot = 4 * (1 + 2 * 24)
    run = 4 * (1 + 2 * 9)
    assert summary["evaluations"] == 48 * 3 * (pilot + 2 * run)


def test_generators_and_modes_are_left_alone(pair):
    model, guide = pair
    model.train()
    before = torch.get_rng_state()
    settings = AnnealingSettings(num_chains=2, num_temperatures=2, leapfrog_steps=1)
    one = bidirectional_check(model, guide, 3, settings=settings, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert not guide.training
    torch.manual_seed(1)
    other = bidirectional_check(model, guide, 3, settings=settings, seed=2)
    assert torch.equal(one.gap, other.gap)


def test_bad_requests_are_refused(pair):
    class SphereGuide(PyroModule):
        def forward(self, tokens, *, size=None):
            with pyro.plate("data", len(tokens)):
                pyro.sample("z", dist.ProjectedNormal(torch.ones(len(tokens), 2).double()))

    with pytest.raises(ValueError, match="size must be at least 2, got 1"):
        bidirectional_check(*pair, 1)
    on_sphere = SentenceVAE(prior=UniformSphere(2), decoder=pair[0].decoder).double()
    with pytest.raises(ValueError, match=r"site 'z' has support Sphere.*one latent in R\^D"):
        bidirectional_check(on_sphere, SphereGuide(), 2)
