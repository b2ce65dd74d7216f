# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every decoded sentence must keep, by every method, and what it costs."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.generation import (
    Ancestral,
    Beam,
    Constraints,
    DecodingMethod,
    Greedy,
    MinP,
    Nucleus,
    TopK,
    Typical,
    generate,
    sample,
)
from pyro_textvae.generation.rules import Rules
from pyro_textvae.special_tokens import EOS, UNK
from tests.generation.enumeration import all_rows, lengths_of, text_of

METHODS = [Ancestral(), Greedy(), TopK(3), Nucleus(0.9), Typical(0.9), MinP(0.05)]
METHODS += [Beam(4, 0.0), Beam(4, 0.0, 2, 2, 0.3)]
EACH = pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
LENGTH = 7


def rows_of(method, **constraints):
    """Sentences as lists of ids with ``<eos>``; their log-probability checked."""
    torch.manual_seed(2)
    text = text_of("gru", rows=3, length=LENGTH, scale=0.5).expand((40, 3))
    with torch.no_grad():
        text.network.token_scores.bias[0] += 2.0
    result = method.generate(text, Constraints(**constraints))
    if "max_length" not in constraints:
        log_prob = text.log_prob(result.tokens)
        torch.testing.assert_close(result.log_prob, log_prob, rtol=0, atol=1e-10)
    return [[i for i in row if i] for row in result.tokens.flatten(0, -2).tolist()]


@EACH
def test_lengths(method):
    assert min(map(len, rows_of(method))) < 4
    assert min(map(len, rows_of(method, min_length=4))) == 4
    rows = rows_of(method, min_length=4, max_length=5)
    assert {4 <= len(row) <= 5 for row in rows} == {True}
    assert {row[-1] for row in rows_of(method, max_length=3, forced_eos_token_id=EOS)} == {EOS}


@EACH
def test_no_repeated_ngrams(method):
    for size in (1, 2):
        for row in rows_of(method, no_repeat_ngram_size=size):
            ngrams = [tuple(row[i : i + size]) for i in range(len(row) - size + 1)]
            assert len(set(ngrams)) == len(ngrams)


@EACH
def test_forbidden_and_forced_tokens_and_a_prefix(method):
    for row in rows_of(method, bad_words_ids=[[4], [5, 3]], min_length=5):
        assert 4 not in row
        assert (5, 3) not in list(zip(row, row[1:], strict=False))
    assert {row[0] for row in rows_of(method, forced_bos_token_id=5)} == {5}
    prefix = {"prefix": [4, 4, UNK], "forced_bos_token_id": 5, "min_length": 6}
    rows = rows_of(method, **prefix, unknown=False)
    assert {tuple(row[:4]) for row in rows} == {(4, 4, UNK, 5)}
    assert {UNK in row[4:] for row in rows} == {False}
    assert max(map(len, rows)) > 5


def test_beam_keeps_constraints_and_finds_the_best_of_what_is_left():
    """Against all sentences that keep them; the prefix is neither scored nor counted."""
    text, rows = text_of("lstm", length=4), all_rows(length=4)
    given = Constraints(prefix=[4], bad_words_ids=[[5, 3]], no_repeat_ngram_size=2, min_length=3)
    kept = rows[(rows[:, 0] == 4) & (lengths_of(rows) >= 3)]
    kept = torch.stack([row for row in kept if _is_good([i for i in row.tolist() if i])])
    log_prob = text.log_prob(kept.unsqueeze(1))
    of_prefix = text.log_prob(rows.unsqueeze(1))[rows[:, 0] == 4].logsumexp(0)
    score = (log_prob - of_prefix) / (lengths_of(kept).double() - 1).unsqueeze(1)
    best = score.topk(3, 0)
    result = Beam(256, 1.0, 3).generate(text, given)
    assert torch.equal(result.tokens, kept[best.indices])
    torch.testing.assert_close(result.score, best.values)
    torch.testing.assert_close(result.log_prob, log_prob.gather(0, best.indices))


def _is_good(row):
    pairs = list(zip(row, row[1:], strict=False))
    return (5, 3) not in pairs and len(set(pairs)) == len(pairs)


def test_repetition_penalty_multiplies_the_log_probability_of_what_is_there():
    scores = torch.tensor([[0.3, -1.0, 2.0, 0.7, -0.2]]).double()
    log_prob = scores.log_softmax(-1)
    ours = Rules(Constraints(repetition_penalty=1.5), 9)(scores + 7.0, torch.tensor([[4, 3, 4]]))
    expected = log_prob * torch.tensor([1.0, 1.5, 1.5, 1.0, 1.0]).double()
    torch.testing.assert_close(ours, expected)
    text = text_of("gru", rows=3, length=LENGTH)
    often = Beam(3).generate(text, Constraints(repetition_penalty=0.5)).tokens
    seldom = Beam(3).generate(text, Constraints(repetition_penalty=3.0)).tokens
    assert _repeated(often) > _repeated(seldom)


def _repeated(rows):
    words = [[i for i in row if i > EOS] for row in rows.flatten(0, -2).tolist()]
    return sum(len(row) - len(set(row)) for row in words)


def test_cut_off_rows_have_the_probability_that_a_sentence_begins_so():
    text, rows = text_of("gru"), all_rows()
    result = Beam(16, 0.0).generate(text, Constraints(max_length=2))
    begins = (rows[:, None, :2] == result.tokens[0, None, :, :2]).all(-1)
    total = text.log_prob(rows.unsqueeze(1)).masked_fill(~begins, -torch.inf).logsumexp(0)
    torch.testing.assert_close(result.log_prob[0], total)
    assert not (result.tokens[0, :, 1] == EOS).all()


def test_no_constraint_is_no_change(pair):
    given = Constraints(max_length=6, min_length=1, repetition_penalty=1.0)
    drawn = generate(pair[0], 50, constraints=given, seed=4)
    assert torch.equal(drawn.tokens, sample(pair[0], 50, seed=4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_length": -1}, "min_length must be at least 0, got -1"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"max_length": 8}, "max_length=8 is beyond the model's 7 tokens"),
        ({"min_length": 8}, "min_length=8 is above max_length=7"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be at least 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be positive, got 0.0"),
        ({"bad_words_ids": [4]}, "bad_words_ids must hold rows of ids, got 4"),
        ({"bad_words_ids": [[1]]}, "bad_words_ids must be ids of tokens .* at least 2, got 1"),
        ({"bad_words_ids": [[6]]}, "id 6 is outside the vocabulary of 6 tokens"),
        ({"prefix": [4, EOS]}, "the prefix must not hold <eos>"),
        ({"prefix": [4] * 7}, "the prefix has 7 tokens and a sentence at most 7, <eos> counted"),
        ({"forced_bos_token_id": 0}, "forced_bos_token_id must be ids of tokens .* got 0"),
        ({"forced_eos_token_id": 60}, "id 60 is outside the vocabulary"),
        ({"unknown": "no"}, "unknown must be bool, got 'no'"),
        ({"no_repeat_ngram_size": 1, "min_length": 7}, "leave a sentence no token at place 4"),
    ],
)
def test_bad_constraints_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        rows_of(Greedy(), **given)


def test_beam_says_that_nothing_is_left():
    with pytest.raises(UserError, match="finds fewer than num_return_sequences=1"):
        rows_of(Beam(3), no_repeat_ngram_size=1, min_length=7)


def test_method_that_decodes_as_a_whole_keeps_no_constraint(pair):
    class Shortest(DecodingMethod):
        def choose(self, scores):
            raise AssertionError

        def decode(self, text, *, unknown=True):
            return torch.tensor([2, 0, 0, 0, 0, 0]).expand(*text.batch_shape, 6)

    z = torch.zeros(3, 2).double()
    result = generate(pair[0], 3, method=Shortest(), latents={"z": z})
    torch.testing.assert_close(result.log_prob, pair[0].decoder(z).log_prob(result.tokens))
    with pytest.raises(UserError, match="Shortest decodes a sentence as a whole .* min_length"):
        generate(pair[0], 3, method=Shortest(), constraints=Constraints(min_length=2))
