# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import math

import pyro
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule

from pyro_textvae.evaluation.annealing.bidirectional import bidirectional_check
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.annealing.sentences import AnnealedSentences
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.infer.running import evaluation_mode
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
    """In four dimensions, by 2 and 16 temperatures, and the exact values."""
    model = LinearGaussian(4)
    guide = PriorGuide(model)
    results = {
        count: bidirectional_check(
            model,
            guide,
            48,
            settings=AnnealingSettings(4, count, leapfrog_steps=1),
            max_tokens=10**6,
        )
        for count in (2, 16)
    }
    return results, model.log_px(simulated(model, guide, 48, 0))


def test_bounds_are_close_to_the_truth_from_both_sides(sandwiches):
    """A Gaussian posterior is fitted by the start, whatever the guide."""
    results, exact = sandwiches
    for result in results.values():
        assert_unbiased(result, exact)
        assert result.is_consistent
        assert abs(result.mean_gap) < 0.03 + 4.5 * result.gap_standard_error
        assert result.gap_standard_error < 0.1


def test_bounds_of_text_hold_the_exact_likelihood_between_them(pair):
    """Rows that were cut off without an <eos> among them; truth from a 101 x 101 grid."""
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


def test_summary_is_made_of_its_columns_and_can_be_written(sandwiches):
    result = sandwiches[0][2]
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert summary["num_sentences"] == 48
    assert summary["gap"] == pytest.approx(summary["upper"] - summary["lower"])
    error = (result.upper - result.lower).std().item() / math.sqrt(48)
    assert summary["gap_standard_error"] == pytest.approx(error)
    assert summary["is_consistent"] is True
    assert 0.5 < summary["lower_acceptance"] < 1.0
    assert 0.5 < summary["upper_acceptance"] < 1.0
    assert summary["num_closed"] == int((result.gap.abs() <= 0.1).sum()) < 48
    # A chain of another temperature costs a gradient in each direction, counted as three.
    more = sandwiches[0][16]
    assert more.evaluations - result.evaluations == 48 * 3 * 4 * 2 * 14


def test_sentences_are_taken_that_are_as_long_as_those_asked_for(pair):
    """A choice by the text alone: the z of each is an exact draw all the same."""
    model, guide = pair
    settings = AnnealingSettings(num_chains=8, num_temperatures=10, leapfrog_steps=1)
    seen = []

    class Seen(AnnealedSentences):
        def __init__(self, model, guide, sentences, *arguments, **options):
            seen.extend(sentences)
            super().__init__(model, guide, sentences, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyro_textvae.evaluation.annealing.bidirectional.AnnealedSentences", Seen)
        result = bidirectional_check(model, guide, 6, like=[5, 2, 2, 5], settings=settings)
    lengths = sorted(each["tokens"].numel() for each in seen)
    assert lengths[:3] == [2, 2, 2]
    # Of 48 sentences hardly any has five tokens; the next best are taken.
    assert all(abs(length - 5) <= 1 for length in lengths[3:])
    width = max(each["tokens"].numel() for each in seen)
    rows = torch.cat(
        [
            torch.nn.functional.pad(each["tokens"], (0, width - each["tokens"].numel()))
            for each in seen
        ]
    )
    exact = log_px_by_quadrature(model.decoder, rows, 2)
    assert ((result.lower - exact) / result.lower_error).abs().max() < 4.5
    assert_unbiased(result, exact)


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
    with pytest.raises(ValueError, match="size must be at least 2, got 1"):
        bidirectional_check(*pair, 1)
