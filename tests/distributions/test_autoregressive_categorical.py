# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import itertools
import math

import pyro
import pytest
import torch
from pyro.infer import Predictive

from pyro_textvae.distributions import AutoregressiveCategorical, Context, sentence_mask
from pyro_textvae.nn import LSTMDecoder
from pyro_textvae.special_tokens import BOS, EOS, PAD

VOCAB_SIZE = 6
LENGTH = 4


def all_outcomes(vocab_size, max_length):
    """Every row that ends in <eos>, padded, and every row cut off at max_length."""
    rows = []
    words = [token for token in range(2, vocab_size) if token != EOS]
    for length in range(max_length):
        rows += [
            [*start, EOS] + [PAD] * (max_length - length - 1)
            for start in itertools.product(words, repeat=length)
        ]
    rows += [list(row) for row in itertools.product(words, repeat=max_length)]
    return torch.tensor(rows)


@pytest.fixture
def decoder():
    decoder = LSTMDecoder(
        vocab_size=VOCAB_SIZE, embedding_dim=3, hidden_dim=5, latent_dim=2, max_length=LENGTH
    )
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(4.0)
    return decoder.double().eval()


def test_probabilities_of_all_sequences_sum_to_one(decoder):
    z = torch.randn(3, 1, 2, dtype=torch.float64)
    outcomes = all_outcomes(VOCAB_SIZE, LENGTH)
    total = decoder(z).log_prob(outcomes).exp().sum(-1)
    assert total.shape == (3,)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-10)


def test_pad_and_bos_before_the_end_are_impossible(decoder):
    distribution = decoder(torch.zeros(1, 2, dtype=torch.float64))
    distribution._validate_args = False
    for row in ([3, PAD, EOS, PAD], [BOS, 3, EOS, PAD], [PAD, PAD, PAD, PAD]):
        assert distribution.log_prob(torch.tensor([row])).item() == -math.inf


def test_sampler_agrees_with_density(decoder):
    z = torch.tensor([0.7, -1.3], dtype=torch.float64)
    distribution = decoder(z)
    outcomes = all_outcomes(VOCAB_SIZE, LENGTH)
    probability = distribution.log_prob(outcomes).exp()
    size = 40_000
    samples = distribution.sample((size,))
    base = VOCAB_SIZE ** torch.arange(LENGTH)
    key = {int((row * base).sum()): index for index, row in enumerate(outcomes)}
    counts = torch.zeros(len(outcomes), dtype=torch.float64)
    for code, count in zip(
        *torch.unique((samples * base).sum(-1), return_counts=True), strict=True
    ):
        counts[key[int(code)]] = count
    # Cells are pooled until each is expected ten times, where the chi-square law holds.
    order = probability.argsort()
    expected, observed = (size * probability)[order], counts[order]
    group = (expected.cumsum(0) / 10).long().clamp(max=int(expected.sum() / 10) - 1)
    cells = int(group.max()) + 1
    expected = torch.zeros(cells, dtype=torch.float64).index_add(0, group, expected)
    observed = torch.zeros(cells, dtype=torch.float64).index_add(0, group, observed)
    kept = expected > 5
    statistic = ((observed - expected).square() / expected)[kept].sum().item()
    freedom = int(kept.sum()) - 1
    # A chi-square variable is nearly normal here; 4.5 deviations fail once in 150,000 seeds.
    assert abs(statistic - freedom) / math.sqrt(2 * freedom) < 4.5


def test_samples_are_padded_after_eos_and_hold_no_bos(decoder):
    samples = decoder(torch.randn(7, 2, dtype=torch.float64)).sample((50,))
    assert samples.shape == (50, 7, LENGTH)
    mask = sentence_mask(samples)
    assert (samples[~mask] == PAD).all()
    assert (samples[mask] >= EOS).all()
    assert (~mask).any()


def test_every_value_scores_under_every_context(decoder, monkeypatch):
    z = torch.randn(5, 3, 2, dtype=torch.float64)
    value = torch.tensor([[3, 5, EOS], [EOS, PAD, PAD], [4, EOS, PAD]])
    looked_up = []
    monkeypatch.setattr(
        decoder.embedding,
        "forward",
        lambda ids, plain=decoder.embedding.forward: (looked_up.append(ids.shape), plain(ids))[1],
    )
    scores = decoder(z).log_prob(value)
    assert looked_up == [(3, 3)]
    one_by_one = torch.stack(
        [decoder(z[k, n]).log_prob(value[n]) for k in range(5) for n in range(3)]
    ).reshape(5, 3)
    torch.testing.assert_close(scores, one_by_one, rtol=0, atol=1e-12)


def test_expand_keeps_class_and_repeats_scores(decoder):
    z = torch.randn(3, 2, dtype=torch.float64)
    expanded = decoder(z).expand((4, 3))
    assert type(expanded) is AutoregressiveCategorical
    assert expanded.batch_shape == (4, 3)
    assert expanded.event_shape == (LENGTH,)
    value = torch.tensor([[3, EOS], [EOS, PAD], [4, EOS]])
    torch.testing.assert_close(
        expanded.log_prob(value), decoder(z).log_prob(value).expand(4, 3), rtol=0, atol=1e-12
    )
    assert expanded.sample().shape == (4, 3, LENGTH)


def test_score_does_not_depend_on_max_length(decoder):
    z = torch.randn(2, dtype=torch.float64)
    value = torch.tensor([3, 5, EOS])
    short = AutoregressiveCategorical(decoder, z, 3)
    long = AutoregressiveCategorical(decoder, z, 50)
    assert short.log_prob(value).item() == long.log_prob(value).item()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([3, 4, 5], "row .* does not end in <eos>"),
        ([3, PAD, EOS], "row .* has <pad> or <bos> before <eos>"),
        ([3, EOS, 4], "row .* other than <pad> after <eos>"),
        ([3, VOCAB_SIZE, EOS], r"must lie in \[0, 6\), got 2 to 6"),
        ([3, 3, 3, 3, EOS], "5 positions but max_length is 4"),
    ],
)
def test_what_is_no_outcome_is_refused(decoder, row, message):
    distribution = decoder(torch.zeros(2, dtype=torch.float64))
    with pytest.raises(ValueError, match=message):
        distribution.log_prob(torch.tensor(row))


def test_cut_off_row_of_full_length_is_an_outcome(decoder):
    score = decoder(torch.zeros(2, dtype=torch.float64)).log_prob(torch.tensor([3, 4, 5, 3]))
    assert score.isfinite()


def test_float_tokens_are_refused(decoder):
    with pytest.raises(ValueError, match="int64"):
        decoder(torch.zeros(2, dtype=torch.float64)).log_prob(torch.tensor([3.0, 2.0]))


def test_greedy_takes_the_likeliest_token_each_time(decoder):
    z = torch.randn(4, 2, dtype=torch.float64)
    rows = decoder(z).greedy()
    for context, row in zip(z, rows, strict=True):
        prefix = []
        for token in row.tolist():
            scores = next_word_scores(decoder, context, prefix)
            assert token == int(scores.argmax()) + EOS
            prefix.append(token)
            if token == EOS:
                break


def next_word_scores(decoder, z, prefix):
    """Scores after a prefix, by the teacher-forced path."""
    tokens = torch.tensor([[*prefix, EOS]])
    hidden = decoder.hidden_states(tokens, Context(z.unsqueeze(0)))
    return decoder.token_scores(hidden[0, -1])


def test_prior_predictive_and_unconditioned_model_sample_ancestrally(pair, tokens):
    model, guide = pair
    prior = Predictive(model, num_samples=11, parallel=True)(size=3)["x"]
    assert prior.shape == (11, 3, 6)
    posterior = Predictive(
        pyro.poutine.uncondition(model), guide=guide, num_samples=11, parallel=True
    )(tokens=tokens)["x"]
    assert posterior.shape == (11, 4, 6)
    # Teacher forcing would repeat the gold prefix's shape: one <eos> at the gold end.
    assert (sentence_mask(posterior).sum(-1) != sentence_mask(tokens).sum(-1)).any()
    assert (posterior[~sentence_mask(posterior)] == PAD).all()


def test_no_row_gives_no_row(decoder):
    assert decoder(torch.zeros(0, 2, dtype=torch.float64)).sample().shape == (0, LENGTH)


def test_max_length_must_be_positive(decoder):
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        AutoregressiveCategorical(decoder, None, 0)
