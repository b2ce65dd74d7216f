# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.data import Batch
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMDecoder
from tests.quadrature import log_px_by_quadrature


def test_estimates_agree_with_quadrature_and_their_errors_are_right(pair, tokens):
    """Every sentence within 4.5 of its own standard errors of a 161 x 161 grid."""
    model, guide = pair
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    result = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=5000)
    score = (result.log_px - exact) / result.standard_error
    assert (score.abs() < 4.5).all()
    assert (result.standard_error < 0.05).all()


def test_standard_error_covers_the_truth_as_often_as_it_says(pair, tokens):
    """800 estimates at K = 200: +-1.96 errors must cover between 92 % and 98 % of them.

    A share of 800 has a standard deviation of 0.8 %; the delta method is good to a percent here.
    """
    model, guide = pair
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    rows = tokens.repeat(200, 1)
    result = log_likelihood(model, guide, [{"tokens": rows}], num_samples=200, max_tokens=10**7)
    covered = (result.log_px - exact.repeat(200)).abs() < 1.96 * result.standard_error
    assert 0.92 < covered.double().mean().item() < 0.98


def test_chunks_bound_the_particles_and_keep_the_estimate(pair, tokens, monkeypatch):
    model, guide = pair
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    widest = []
    monkeypatch.setattr(
        model.decoder,
        "hidden_states",
        lambda ids, z, plain=model.decoder.hidden_states: (widest.append(z.numel()), plain(ids, z))[
            1
        ],
    )
    result = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=1000, max_tokens=200)
    assert max(widest) == 10 * 4 * 2
    assert len(widest) == 100
    assert ((result.log_px - exact).abs() < 4.5 * result.standard_error).all()


def test_same_seed_same_numbers_and_generators_left_alone(pair, tokens):
    model, guide = pair
    before = torch.get_rng_state()
    model.train()
    one = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=7, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert not guide.training
    other = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=7, seed=3)
    assert torch.equal(one.log_px, other.log_px)
    third = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=7, seed=4)
    assert not torch.equal(one.log_px, third.log_px)


def test_rows_come_back_in_corpus_order(pair, tokens):
    model, guide = pair
    order = torch.tensor([2, 0, 3, 1])
    batches = [Batch(tokens[part], part) for part in order.split(2)]
    result = log_likelihood(model, guide, batches, num_samples=20_000)
    assert result.tokens.tolist() == [4, 1, 5, 3]
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    assert ((result.log_px - exact).abs() < 4.5 * result.standard_error).all()


def test_totals_are_in_the_stated_units(pair, tokens):
    model, guide = pair
    result = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=200)
    total = -result.log_px.sum().item()
    assert result.num_sentences == 4
    assert result.num_tokens == 13
    assert result.nll == pytest.approx(total / 4)
    assert result.ppl == pytest.approx(math.exp(total / 13))
    assert result.bits_per_word == pytest.approx(total / 13 / math.log(2))
    assert result.ppl_elbo > result.ppl
    assert result.nll_standard_error == pytest.approx(result.standard_error.norm().item() / 4)
    torch.testing.assert_close(result.elbo, result.reconstruction - result.kl)


@pytest.mark.parametrize("max_tokens", [1, 60, 10**6])
def test_kl_is_the_closed_form_however_the_draws_are_cut(pair, tokens, max_tokens):
    model, guide = pair
    result = log_likelihood(
        model, guide, [{"tokens": tokens}], num_samples=10, max_tokens=max_tokens
    )
    features = guide.encoder(tokens)
    loc, log_variance = guide.loc(features), guide.log_variance(features)
    kl = 0.5 * (loc.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    torch.testing.assert_close(result.kl, kl.detach(), rtol=1e-12, atol=0)


def test_bound_is_below_the_likelihood_and_grows_with_draws(pair, tokens):
    model, guide = pair
    many = {"tokens": tokens.repeat(500, 1)}
    nll = [log_likelihood(model, guide, [many], num_samples=count).nll for count in (1, 2, 10, 100)]
    assert nll == sorted(nll, reverse=True)
    elbo = -log_likelihood(model, guide, [many], num_samples=100).elbo.mean().item()
    assert elbo > nll[1]


def test_model_without_latents_is_exact_from_one_pass(tokens):
    decoder = LSTMDecoder(
        vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6
    ).double()
    model = LanguageModel(decoder=decoder)
    result = log_likelihood(model, EmptyGuide(), [{"tokens": tokens}], num_samples=500)
    decoder.eval()
    torch.testing.assert_close(result.log_px, decoder().log_prob(tokens).detach())
    assert (result.standard_error == 0).all()
    torch.testing.assert_close(result.ess, torch.full((4,), 500.0, dtype=torch.float64))
    assert (result.khat == -math.inf).all()
    assert (result.kl == 0).all()
    torch.testing.assert_close(result.elbo, result.log_px)


def test_posterior_collapse_in_float32_is_no_heavy_tail(pair, tokens):
    """Weights that differ by rounding alone have no tail to speak of."""
    model, guide = pair
    model.float()
    guide.float()
    with torch.no_grad():
        for part in (model.decoder.initial_cell, guide.loc, guide.log_variance):
            part.weight.mul_(1e-6)
            part.bias.mul_(1e-6)
        model.decoder.lstm.weight_ih_l0[:, 4:].mul_(1e-6)
    many = {"tokens": tokens.repeat(20, 1)}
    result = log_likelihood(model, guide, [many], num_samples=400)
    assert (result.standard_error < 1e-5).all()
    assert (result.khat == -math.inf).all()


def test_modes_of_all_parts_are_given_back(pair, tokens):
    model, guide = pair
    model.train()
    model.decoder.lstm.eval()
    log_likelihood(model, guide, [{"tokens": tokens}], num_samples=2)
    assert model.decoder.training
    assert not model.decoder.lstm.training


def test_few_draws_have_no_khat_and_one_has_no_error(pair, tokens):
    model, guide = pair
    assert log_likelihood(model, guide, [{"tokens": tokens}], num_samples=99).khat.isnan().all()
    single = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=1)
    assert single.standard_error.isnan().all()
    assert single.log_px.isfinite().all()


@pytest.mark.parametrize(
    ("batches", "count", "message"),
    [([], 5, "no batch to score"), ([{}], 0, "num_samples must be at least 1, got 0")],
)
def test_nothing_to_do_is_refused(pair, batches, count, message):
    with pytest.raises(ValueError, match=message):
        log_likelihood(*pair, batches, num_samples=count)
