# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentence of the highest expected utility, against a sum over all sentences."""

import pytest
import torch

from pyro_textvae.data import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.generation import (
    Constraints,
    Generated,
    build_method,
    generate,
    generate_reconstructions,
)
from tests.generation.enumeration import all_rows, text_of
from tests.generation.programs import ConditionalModel, Numbers

metrics = pytest.importorskip("sacrebleu.metrics", reason="the extra [eval] is not installed")
TOKENIZER = train_tokenizer(["ab abc d"])


def method_of(number, **options):
    return build_method(
        "minimum_bayes_risk", {"num_samples": number, **options}, tokenizer=TOKENIZER
    )


def utilities(name, texts):
    """u(h, r) of all pairs, by sacrebleu's own functions."""
    if name == "chrf":
        scores = [[metrics.CHRF().sentence_score(h, [r]).score for r in texts] for h in texts]
    elif name == "exact":
        scores = [[100.0 * (h == r) for r in texts] for h in texts]
    else:
        bleu = metrics.BLEU(effective_order=True)
        scores = [[bleu.sentence_score(h, [r]).score for r in texts] for h in texts]
    return torch.tensor(scores).double()


@pytest.mark.parametrize("utility", ["chrf", "bleu", "exact"])
def test_best_of_given_draws(utility):
    rows = torch.tensor([[4, 5, 2], [4, 6, 2], [5, 2, 0], [4, 5, 2], [6, 6, 6]])
    texts = [TOKENIZER.decode(row.tolist()) for row in rows]
    expected = utilities(utility, texts).mean(1)
    log_prob = -torch.arange(10.0).view(2, 5)
    drawn = Generated(torch.stack([rows, rows.flip(0)]), log_prob, log_prob)
    best = method_of(5, utility=utility).select(drawn)
    place = int(expected.argmax())
    assert best.tokens.tolist() == [rows[place].tolist()] * 2
    torch.testing.assert_close(best.score.double(), expected.max().expand(2), rtol=1e-6, atol=0)
    assert best.log_prob[0] == log_prob[0, place]
    assert len(set(expected.tolist())) > (1 if utility == "exact" else 3)


def test_many_draws_find_the_best_by_enumeration():
    """Utility summed over all sentences with their probabilities, 4.5 standard errors."""
    text, rows = text_of("gru", rows=1, vocab_size=7), all_rows(7)
    texts = [TOKENIZER.decode(row.tolist()) for row in rows]
    probability = text.log_prob(rows).exp().detach()
    kept = probability > 1e-3
    scores = utilities("chrf", [t for t, k in zip(texts, kept.tolist(), strict=True) if k])
    expected = scores @ probability[kept]
    method = method_of(2000)
    torch.manual_seed(0)
    drawn = method.generate(text.expand((2000,)), Constraints())
    best = method.select(drawn.map(lambda part: part[0].unsqueeze(0)))
    truth = expected[(rows[kept] == best.tokens[0]).all(-1)]
    # The kept sentences are all but a few thousandths of the mass; chrF is at most 100.
    error = 4.5 * 50 / 2000**0.5 + 100 * float(1 - probability[kept].sum())
    assert abs(best.score.item() - truth.item()) < error
    assert truth.item() > expected.max().item() - error
    assert truth.item() > expected.median().item() + error


def test_draws_of_each_sentence_are_at_its_own_source(pair):
    """Two sources whose sentences differ: each best one is among its own draws."""
    model = ConditionalModel(pair[0].decoder, 7).eval()
    batch = {"source": torch.tensor([[4, 2], [6, 2]])}
    result = generate(model, batch, method=method_of(6), seed=3)
    six = generate(model, batch, num_latents=6, seed=3)
    assert result.tokens.shape == (2, 6)
    for row in range(2):
        own = slice(6 * row, 6 * row + 6)
        same = (six.tokens[own] == result.tokens[row]).all(-1)
        assert same.any()
        assert result.log_prob[row] in six.log_prob[own][same]


def test_reconstructions_draw_from_the_posterior(pair, tokens):
    model, guide = pair
    result = generate_reconstructions(model, guide, {"tokens": tokens}, method=method_of(5), seed=1)
    drawn = generate_reconstructions(
        model, guide, {"tokens": tokens}, method="ancestral", num_latents=5, seed=1
    )
    assert result.tokens.shape == (4, 6)
    for row in range(4):
        assert (drawn.tokens[5 * row : 5 * row + 5] == result.tokens[row]).all(-1).any()


def test_parts_do_not_cut_the_draws_of_a_sentence(pair, monkeypatch):
    monkeypatch.setattr("pyro_textvae.generation.sampling.SENTENCES_AT_ONCE", 10)
    assert generate(pair[0], 5, method=method_of(4)).tokens.shape == (5, 6)
    assert generate(pair[0], 3, method=method_of(40)).tokens.shape == (3, 6)


def test_bad_use_is_refused():
    with pytest.raises(UserError, match="give it the tokenizer"):
        build_method("minimum_bayes_risk")
    with pytest.raises(UserError, match="num_samples must be at least 2, got 1"):
        method_of(1)
    with pytest.raises(UserError, match="utility must be one of chrf, bleu, exact, got 'rouge'"):
        method_of(4, utility="rouge")
    with pytest.raises(UserError, match="MinimumBayesRisk chooses tokens one by one"):
        generate(Numbers(), 2, method=method_of(4, temperature=0.5))
