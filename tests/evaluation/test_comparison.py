# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_textvae.evaluation import compare, comparison, log_likelihood
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMDecoder

EFFECT = 0.3
ERROR_A, ERROR_B = 0.3, 0.4


def generator(seed):
    return torch.Generator().manual_seed(seed)


def scored(nll, error=0.0, tokens=None):
    nll = torch.as_tensor(nll, dtype=torch.float64)
    return SimpleNamespace(
        log_px=-nll,
        standard_error=torch.as_tensor(error, dtype=torch.float64).expand(len(nll)),
        num_tokens_per_sentence=torch.arange(len(nll)) % 7 + 1 if tokens is None else tokens,
    )


def noisy_pair(seed, num_sentences=200, spread=0.5, copies=1):
    """A worse than b by EFFECT on average; what both share varies 40 times as much.

    The estimates are noisy by ERROR_A and ERROR_B; copies of a sentence share effect and noise,
    and differ by a rounding.
    """
    draws = torch.randn(
        4, num_sentences // copies, generator=generator(seed), dtype=torch.float64
    ).repeat_interleave(copies, 1)
    shared = 100 + 20 * draws[0]
    nll_a = shared + EFFECT + spread * draws[1] + ERROR_A * draws[2]
    nll_b = shared + ERROR_B * draws[3]
    nll_b = nll_b + 1e-6 * (torch.arange(num_sentences) % 3)
    return scored(nll_a, ERROR_A), scored(nll_b, ERROR_B)


@pytest.mark.parametrize(("spread", "copies"), [(0.5, 1), (0.0, 1), (0.0, 5)])
def test_interval_covers_the_true_difference_as_often_as_it_says(spread, copies):
    """400 test sets, each estimate with noise of its own: 95 % of the intervals hold the truth.

    The share has a standard deviation of 1.1 %. An unpaired interval would be 20 times as wide and
    hold it always; one that took copies for independent would hold it in 62 %.
    """
    covered = 0
    for seed in range(400):
        pair = noisy_pair(seed, spread=spread, copies=copies)
        low, high = compare(*pair, num_resamples=1000, seed=seed).interval
        covered += low <= EFFECT <= high
    assert abs(covered / 400 - 0.95) < 3.3 * math.sqrt(0.95 * 0.05 / 400)


def test_interval_of_gaussian_differences_is_the_closed_form():
    """The ends are quantiles of 10,000 resamples: each off by 0.027 of the mean's error."""
    a, b = noisy_pair(seed=0, num_sentences=2000)
    found = compare(a, b)
    difference = b.log_px - a.log_px
    error = difference.std().item() / math.sqrt(2000)
    assert found.difference == pytest.approx(difference.mean().item())
    for end, deviate in zip(found.interval, (-1.96, 1.96), strict=True):
        closed_form = found.difference + deviate * error
        assert abs(end - closed_form) < 4.5 * 0.027 * error


def test_interval_of_skewed_differences_agrees_with_scipy():
    """Both draw 100,000 resamples: the ends differ by 0.02 of the mean's error, 4.5 times that.

    A plain percentile interval would be off by 0.2 and more.
    """
    rng = np.random.default_rng(1)
    values = rng.exponential(size=40)
    found = compare(scored(values), scored(np.zeros(40)), num_resamples=100_000)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=100_000, method="BCa", rng=rng, vectorized=True
    ).confidence_interval
    error = values.std() / math.sqrt(40)
    np.testing.assert_allclose(found.interval, reference, rtol=0, atol=4.5 * 0.02 * error)
    plain = np.quantile(rng.choice(values, (100_000, 40)).mean(1), [0.025, 0.975])
    assert np.abs(plain - reference).min() > 0.15 * error


@pytest.mark.parametrize("copies", [1, 5])
def test_monte_carlo_error_is_the_spread_over_repeated_estimates(copies):
    """The same sentences estimated 400 times: a standard deviation of 400 is good to 3.5 %."""
    found = []
    for seed in range(400):
        pair = noisy_pair(seed, num_sentences=50, spread=0.0, copies=copies)
        found.append(compare(*pair, num_resamples=1000))
    spread = torch.tensor([one.difference for one in found]).std().item()
    assert spread == pytest.approx(found[0].monte_carlo_error, rel=4.5 * 0.035)


def test_monte_carlo_error_combines_both_errors_of_every_sentence():
    a = scored([5.0, 6.0, 8.0], [0.3, 0.1, 0.2])
    b = scored([5.5, 6.5, 9.0], [0.4, 0.0, 0.6])
    squares = 0.09 + 0.01 + 0.04 + 0.16 + 0.36
    assert compare(a, b).monte_carlo_error == pytest.approx(math.sqrt(squares) / 3)


def test_exchanging_the_two_mirrors_everything():
    a, b = noisy_pair(seed=3)
    one, other = compare(a, b), compare(b, a)
    torch.testing.assert_close(one.per_sentence, -other.per_sentence, rtol=0, atol=0)
    assert other.difference == -one.difference
    assert other.interval == pytest.approx([-end for end in reversed(one.interval)])
    assert other.share_better == pytest.approx(1 - one.share_better)
    assert other.monte_carlo_error == one.monte_carlo_error
    assert (one.sign, other.sign) == (1, -1)
    assert one.verdict("x", "y") == other.verdict("y", "x")
    assert one.verdict("x", "y").startswith("y is better by 0.")


def test_difference_is_nll_of_a_minus_nll_of_b():
    found = compare(scored([3.0, 4.0, 5.0, 5.0]), scored([4.0, 6.0, 4.5, 5.0]))
    assert found.per_sentence.tolist() == [-1.0, -2.0, 0.5, 0.0]
    assert found.difference == pytest.approx(-0.625)
    assert found.share_better == pytest.approx(2.5 / 4)


@pytest.mark.parametrize(
    ("interval", "difference", "words"),
    [
        ((-0.53, -0.31), -0.42, "a is better by 0.42 nats per sentence [0.31, 0.53]"),
        ((0.31, 0.53), 0.42, "b is better by 0.42 nats per sentence [0.31, 0.53]"),
        ((-0.05, 0.11), 0.03, "no difference can be told: [-0.05, 0.11]"),
        ((0.0004, 0.02), 0.01, "b is better by 0.0100 nats per sentence [0.0004, 0.0200]"),
        ((0.0, 0.02), 0.01, "no difference can be told: [0.00, 0.02]"),
    ],
)
def test_verdict_gives_the_sign_in_words(interval, difference, words):
    found = comparison.Comparison(
        per_sentence=torch.tensor([difference], dtype=torch.float64),
        interval=interval,
        monte_carlo_error=0.0,
        num_resamples=1000,
        seed=0,
        num_sentences=1,
    )
    assert found.verdict() == words


def test_equal_differences_have_no_spread():
    same = scored([3.1, 4.7, 5.9])
    tie = compare(same, same)
    assert (tie.interval, tie.sign, tie.share_better) == ((0.0, 0.0), 0, 0.5)
    assert tie.verdict() == "no difference can be told: [0.00, 0.00]"
    apart = compare(scored([3.0, 4.0]), scored([4.0, 5.0]))
    assert (apart.interval, apart.sign) == ((-1.0, -1.0), -1)


def test_resampling_has_a_generator_of_its_own_and_blocks_do_not_show(monkeypatch):
    pair = noisy_pair(seed=5)
    before = torch.get_rng_state()
    one = compare(*pair, num_resamples=1000, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert compare(*pair, num_resamples=1000, seed=2).interval != one.interval
    monkeypatch.setattr(comparison, "_NUMBERS_AT_ONCE", 1)
    assert compare(*pair, num_resamples=1000, seed=1).interval == one.interval


def test_estimates_of_two_models(pair, tokens):
    """A sentence VAE and a language model: the difference is that of their nlls."""
    decoder = LSTMDecoder(
        vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6
    ).double()
    batches = [{"tokens": tokens}]
    a = log_likelihood(*pair, batches, num_samples=200)
    b = log_likelihood(LanguageModel(decoder=decoder), EmptyGuide(), batches, num_samples=2)
    found = compare(a, b)
    assert found.difference == pytest.approx(a.nll - b.nll)
    assert found.monte_carlo_error == pytest.approx(a.nll_standard_error)


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (scored([1.0, 2.0]), "a has 3 sentences and b 2: score the same ones"),
        (
            scored([1.0, 2.0, 3.0], tokens=torch.tensor([1, 2, 8])),
            "sentence 2 has 3 tokens in a and 8 in b: score the same sentences",
        ),
        (scored([1.0, math.inf, 3.0]), "sentence 1 has no finite log_px in b: leave"),
        (scored([1.0, 2.0, math.nan]), "sentence 2 has no finite log_px in b: leave"),
        (scored([1.0, 2.0, 3.0], math.nan), "sentence 0 has no finite standard_error in b: .* 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(b, message):
    with pytest.raises(ValueError, match=message):
        compare(scored([1.0, 2.0, 3.0]), b)


def test_too_little_is_refused():
    one = scored([1.0])
    with pytest.raises(ValueError, match="needs at least 2 sentences, got 1"):
        compare(one, one)
    with pytest.raises(ValueError, match="num_resamples must be at least 1000, got 999"):
        compare(one, one, num_resamples=999)
