# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Methods that draw each token: draws against the truncated distribution, by enumeration."""

import math

import pytest
import torch

from pyro_textvae.distributions.autoregressive_categorical import sentence_mask
from pyro_textvae.errors import UserError
from pyro_textvae.generation import (
    Ancestral,
    Constraints,
    MinP,
    Nucleus,
    TopK,
    Typical,
    sample,
)
from tests.generation.enumeration import all_rows, text_of


def nucleus(p, share):
    kept, total = [], 0.0
    for word in sorted(range(len(p)), key=lambda w: -p[w]):
        if total < share:
            kept.append(word)
        total += p[word]
    return kept


def typical(p, share):
    entropy = -sum(q * math.log(q) for q in p)
    kept, total = [], 0.0
    for word in sorted(range(len(p)), key=lambda w: abs(-math.log(p[w]) - entropy)):
        if total < share:
            kept.append(word)
        total += p[word]
    return kept


def min_p(p, share):
    return [word for word in range(len(p)) if p[word] >= share * max(p)]


def top_k(p, k):
    return sorted(range(len(p)), key=lambda w: -p[w])[:k]


def everything(p, _):
    return list(range(len(p)))


CASES = [
    (Ancestral(), everything, None, 1.0),
    (Ancestral(0.6), everything, None, 0.6),
    (TopK(2), top_k, 2, 1.0),
    (TopK(3, 1.7), top_k, 3, 1.7),
    (Nucleus(0.7), nucleus, 0.7, 1.0),
    (Nucleus(0.5, 1.5), nucleus, 0.5, 1.5),
    (Typical(0.6), typical, 0.6, 1.0),
    (Typical(0.3, 0.8), typical, 0.3, 0.8),
    (MinP(0.3), min_p, 0.3, 1.0),
    (MinP(0.2, 1.4), min_p, 0.2, 1.4),
]


def ids_of(cases):
    return [
        f"{type(method).__name__}-{value}-{temperature}" for method, _, value, temperature in cases
    ]


EACH = pytest.mark.parametrize(("method", "keep", "value", "temperature"), CASES, ids=ids_of(CASES))


@EACH
def test_kept_tokens_are_those_by_hand(method, keep, value, temperature):
    scores = 2.0 * torch.randn(200, 7, generator=torch.Generator().manual_seed(1)).double()
    kept = method.truncated(scores / temperature) > -torch.inf
    for row, ours in zip((scores / temperature).softmax(-1).tolist(), kept, strict=True):
        assert ours.nonzero().flatten().tolist() == sorted(keep(row, value))


@EACH
def test_sentences_follow_the_truncated_distribution(method, keep, value, temperature):
    """Chi-square of 40,000 draws over all sentences of three places, as a z-score.

    Sentences that are expected less than five times are one.
    """
    text = text_of("gru", rows=1, scale=0.35)
    rows, number = all_rows(), 40_000
    probability = _truncated(text, rows, keep, value, temperature)
    assert abs(probability.sum().item() - 1.0) < 1e-9
    torch.manual_seed(11)
    drawn = method.generate(text.expand((number,)), Constraints()).tokens[0]
    base = 6 ** torch.arange(3)
    place = {key: i for i, key in enumerate((rows * base).sum(-1).tolist())}
    counts = torch.zeros(len(rows), dtype=torch.double)
    for key, count in zip(*(drawn * base).sum(-1).unique(return_counts=True), strict=True):
        counts[place[key.item()]] = count
    assert counts[probability == 0].sum() == 0
    common = number * probability >= 5
    expected = torch.cat([probability[common], probability[~common].sum().view(1)]) * number
    seen = torch.cat([counts[common], counts[~common].sum().view(1)])
    expected, seen = expected[expected > 0], seen[expected > 0]
    chi_square, degrees = ((seen - expected) ** 2 / expected).sum().item(), len(expected) - 1
    z = (chi_square - degrees) / (2 * degrees) ** 0.5
    assert degrees > 3
    assert abs(z) < 4.5


def _truncated(text, rows, keep, value, temperature):
    """The probability of each row where every token is drawn among those that are kept."""
    total = []
    for row, mask in zip(rows, sentence_mask(rows), strict=True):
        probability = 1.0
        for place in range(int(mask.sum())):
            ids = torch.cat([row[:place].expand(4, -1), torch.arange(2, 6).unsqueeze(-1)], -1)
            with torch.no_grad():
                every = torch.ones_like(ids, dtype=torch.bool)
                log_prob = text.network.token_log_prob(ids, every, text.context)[:, -1]
            p = (log_prob / temperature).softmax(-1).tolist()
            kept = keep(p, value)
            word = int(row[place]) - 2
            probability *= p[word] / sum(p[w] for w in kept) if word in kept else 0.0
        total.append(probability)
    return torch.tensor(total, dtype=torch.double)


@EACH
def test_log_probabilities_are_the_models(method, keep, value, temperature):
    text = text_of("lstm", length=6)
    drawn = method.generate(text, Constraints())
    log_prob = text.log_prob(drawn.tokens)
    torch.testing.assert_close(drawn.log_prob, log_prob, rtol=0, atol=1e-10)
    assert torch.equal(drawn.score, drawn.log_prob)


@pytest.mark.parametrize("method", [TopK(5), TopK(6), Nucleus(1.0), Typical(1.0), Ancestral(1.0)])
def test_what_keeps_all_draws_what_ancestral_draws(pair, method):
    drawn = sample(pair[0], 300, seed=7)
    assert torch.equal(sample(pair[0], 300, seed=7, method=method), drawn)
    assert not torch.equal(sample(pair[0], 300, seed=7, method=TopK(4)), drawn)


@pytest.mark.parametrize("method", [TopK(1), MinP(1.0), Nucleus(1e-9)])
def test_what_keeps_the_likeliest_alone_is_greedy(pair, method):
    greedy = sample(pair[0], 50, method="greedy", seed=2)
    assert torch.equal(sample(pair[0], 50, method=method, seed=2), greedy)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Nucleus(0.0), r"top_p must lie in \(0, 1\], got 0.0"),
        (lambda: Nucleus(1.1), r"top_p must lie in \(0, 1\], got 1.1"),
        (lambda: Nucleus("a"), "top_p must be float, got 'a'"),
        (lambda: TopK(0), "top_k must be at least 1, got 0"),
        (lambda: Typical(0.0), r"typical_p must lie in \(0, 1\], got 0.0"),
        (lambda: MinP(1.5), r"min_p must lie in \(0, 1\], got 1.5"),
        (lambda: Ancestral(0.0), "temperature must be positive, got 0.0"),
        (lambda: Ancestral(float("nan")), "temperature must be positive, got nan"),
    ],
)
def test_bad_options_are_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()
