# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Likelihoods averaged over global latents: what is averaged, its errors, and who shares draws."""

import dataclasses
import math

import pytest
import torch
from pyro.nn import PyroSample
from torch import distributions as dist

from pyro_textvae.evaluation import compare, information, log_likelihood
from pyro_textvae.evaluation.importance.global_draws import GlobalDraws
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.over_globals import draw_globals, mean_over_globals
from pyro_textvae.infer import given_globals
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMDecoder
from tests.programs.bayesian_bias import BIAS, SIZES, bayesian_bias

TOKENS = torch.tensor([[4, 5, 2, 0], [6, 2, 0, 0], [7, 7, 8, 2]])
BATCHES = [{"tokens": TOKENS[:2]}, {"tokens": TOKENS[2:]}]


def test_is_the_mean_of_estimates_given_each_draw():
    """Of a language model, exact given the bias: the mean over draws of its probabilities."""
    model, guide = bayesian_bias(latent=False)
    r = log_likelihood(model, guide, BATCHES, seed=2, num_global_draws=8)
    draws = draw_globals(model, guide, BATCHES[0], 2, 8)
    given = []
    for draw in draws:
        with given_globals([model, guide], draw.values):
            given.append(log_likelihood(model, guide, BATCHES))
    assert all(part.exact for part in given)
    stacked = torch.stack([part.log_px for part in given])
    torch.testing.assert_close(r.global_draws.log_px, stacked)
    torch.testing.assert_close(r.log_px, stacked.logsumexp(0) - math.log(8))
    assert not r.exact
    ratios = stacked.exp() / stacked.exp().mean(0)
    torch.testing.assert_close(r.standard_error, ratios.std(0) / 8**0.5)
    shared = ratios.mean(1).std().item() / 8**0.5
    assert r.nll_standard_error == pytest.approx(shared)
    assert r.nll_global_error == pytest.approx(shared)
    assert r.nll_local_error == 0
    kl = dist.kl_divergence(dist.Normal(guide.loc, guide.log_scale.exp()), dist.Normal(0.0, 1.0))
    assert r.global_draws.kl == {BIAS: pytest.approx(kl.sum().item(), rel=1e-5)}
    assert "mean of p(x | 'model.decoder.token_scores.bias') over 8 draws" in r.notes[0]


def test_error_over_sentences_does_not_fall_with_their_number():
    """All sentences share the draws: a copy of each leaves the error as it is."""
    model, guide = bayesian_bias(latent=True)
    once = log_likelihood(model, guide, BATCHES, 4, num_global_draws=8)
    twice = log_likelihood(model, guide, [*BATCHES, *BATCHES], 4, num_global_draws=8)
    assert twice.nll == pytest.approx(once.nll)
    assert twice.nll_standard_error == pytest.approx(once.nll_standard_error)
    assert once.nll_global_error > 0
    assert once.nll_local_error > 0


def test_same_numbers_in_any_batch_and_resumed(tmp_path, monkeypatch):
    model, guide = bayesian_bias(latent=True)
    whole = log_likelihood(model, guide, [{"tokens": TOKENS}], 4, num_global_draws=4)
    parts = log_likelihood(model, guide, iter(BATCHES), 4, num_global_draws=4)
    torch.testing.assert_close(whole.log_px, parts.log_px)
    place = tmp_path / "partial"
    kept = log_likelihood(model, guide, BATCHES, 4, num_global_draws=4, partial=place)
    assert len(kept.identities) == 4
    assert len(list(tmp_path.glob("partial.*.0"))) == 4
    monkeypatch.setattr("pyro_textvae.evaluation.likelihood.batch_estimates", None)
    again = log_likelihood(model, guide, BATCHES, 4, num_global_draws=4, partial=place)
    assert torch.equal(kept.log_px, again.log_px)


def test_every_column_of_a_result_is_averaged():
    """One that is added and forgotten would be that of the first draw alone."""
    model, guide = bayesian_bias(latent=True)
    draws = draw_globals(model, guide, BATCHES[0], 0, 4)
    parts = []
    for draw in draws:
        with given_globals([model, guide], draw.values):
            parts.append(log_likelihood(model, guide, BATCHES, 100, seed=draw.seed))
    merged = mean_over_globals(draws, parts)
    alike = {"num_tokens_per_sentence", "keys", "kl"}  # The last is in closed form.
    for field in dataclasses.fields(LogLikelihood):
        first, mean = (getattr(r, field.name) for r in (parts[0], merged))
        if isinstance(first, torch.Tensor) and field.name not in alike:
            assert not torch.equal(first.nan_to_num(), mean.nan_to_num()), field.name
    together = torch.cat([part.ess for part in parts]).reshape(4, -1)
    assert (merged.ess <= together.sum(0) + 1e-6).all()
    assert (merged.num_draws == 400).all()


def test_error_of_draws_is_that_of_repetitions():
    """By normal numbers in the place of a model: error given and error found, within a tenth."""
    torch.manual_seed(0)
    of_draw = 0.3 * torch.randn(4000, 20, 1).double()
    local = 0.2 * torch.randn(4000, 20, 6).double()
    error = torch.full((20, 6), 0.2).double()
    results = [GlobalDraws(rows, error, {}) for rows in of_draw + local]
    spread = torch.stack([r.mean.mean() for r in results]).std()
    given = torch.tensor([r.error_of_mean for r in results]).mean()
    assert given.item() == pytest.approx(spread.item(), rel=0.1)
    of_one = torch.stack([r.mean[0] for r in results]).std().item()
    assert results[0].error.shape == (6,)
    mean_error = torch.stack([r.error[0] for r in results]).mean().item()
    assert mean_error == pytest.approx(of_one, rel=0.1)
    assert results[0].local_error[0].item() == pytest.approx(0.2 / 20**0.5, rel=0.1)


def test_comparison_has_the_error_that_sentences_share():
    model, guide = bayesian_bias(latent=False)
    a, b = (log_likelihood(model, guide, BATCHES, seed=seed, num_global_draws=8) for seed in (0, 1))
    shared = math.hypot(a.nll_global_error, b.nll_global_error)
    difference = compare(a, b, num_resamples=1000)
    low, high = difference.interval
    assert difference.monte_carlo_error > shared > 0
    assert high - low > 3 * shared
    without = [dataclasses.replace(r, global_draws=None) for r in (a, b)]
    assert compare(*without, num_resamples=1000).monte_carlo_error < difference.monte_carlo_error


def test_information_is_given_one_draw():
    """The same as where the first draw is given."""
    model, guide = bayesian_bias(latent=True)
    of_all = information(model, guide, BATCHES)
    (draw,) = draw_globals(model, guide, BATCHES[0], 0, 1)
    with given_globals([model, guide], draw.values):
        given = information(model, guide, BATCHES)
    assert of_all.mutual_information == given.mutual_information
    assert information(*bayesian_bias(latent=False), BATCHES).num_draws == 0


def test_draws_for_no_global_latent_are_refused(pair, tokens):
    with pytest.raises(ValueError, match="num_global_draws=4 would do nothing, .* leave it out"):
        log_likelihood(*pair, [{"tokens": tokens}], 2, num_global_draws=4)
    with pytest.raises(ValueError, match="num_global_draws must be at least 2, got 1"):
        log_likelihood(*pair, [{"tokens": tokens}], 2, num_global_draws=1)


def test_weight_that_nothing_reads_is_refused():
    """A ``PyroSample`` that the network reads from a copy of its own, say."""
    model, guide = bayesian_bias(latent=False)
    model.spare = PyroSample(dist.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match="the PyroSample 'model.spare' leaves no sample site"):
        log_likelihood(model, guide, BATCHES, num_global_draws=2)


def test_global_latent_of_the_model_alone_is_refused():
    model, _ = bayesian_bias(latent=False)
    _, guide = bayesian_bias(latent=True)
    with pytest.raises(ValueError, match="the model's latent sites are model.decoder.*: they must"):
        log_likelihood(model, guide.other, BATCHES, 2)
    plain = LanguageModel(LSTMDecoder(**SIZES, latent_dim=0, max_length=6))
    with pytest.raises(ValueError, match="latent sites are none, the guide's model.decoder"):
        log_likelihood(plain, guide, BATCHES, 2)
