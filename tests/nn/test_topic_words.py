# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words of topics: all texts enumerated, densities by hand."""

import itertools
import math

import pytest
import torch

from pyro_textvae.nn.topic_words import TopicWords
from pyro_textvae.special_tokens import EOS, PAD, UNK

KINDS = ("lda", "etm", "prodlda", "nvdm")
VOCAB_SIZE, MAX_LENGTH = 8, 3
STOP = 5


def words_of(kind, vocab_size=VOCAB_SIZE, stop_words=(STOP,)):
    torch.manual_seed(1)
    words = TopicWords(vocab_size, 2, MAX_LENGTH, 4, kind, stop_words).double()
    for parameter in words.parameters():
        parameter.data = torch.randn_like(parameter)
    return words


def theta_of(kind, count=2):
    torch.manual_seed(2)
    z = torch.randn(count, 2, dtype=torch.float64)
    return z if kind == "nvdm" else z.softmax(-1)


def every_text():
    """All rows that end in <eos>, and those of full length that do not."""
    ids = range(UNK, VOCAB_SIZE)
    rows = [
        [*words, EOS, *[PAD] * (MAX_LENGTH - len(words) - 1)]
        for length in range(MAX_LENGTH)
        for words in itertools.product(ids, repeat=length)
    ]
    return torch.tensor(rows + [[*words] for words in itertools.product(ids, repeat=MAX_LENGTH)])


@pytest.mark.parametrize("kind", KINDS)
def test_all_texts_have_probability_one(kind):
    text = words_of(kind)(theta_of(kind).unsqueeze(1))
    total = text.log_prob(every_text()).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["lda", "prodlda"])
def test_density_by_hand(kind):
    words, theta = words_of(kind), theta_of(kind, 1)
    beta, theta_0 = words.beta, theta[0]
    if kind == "lda":
        in_topics = theta_0[0] * beta[0].softmax(-1) + theta_0[1] * beta[1].softmax(-1)
    else:
        scores = theta_0[0] * beta[0] + theta_0[1] * beta[1] + words.bias
        in_topics = scores.exp() / scores.exp().sum()
    outside = words.outside_scores.softmax(-1)  # <unk>, the stop word, any other
    length = words.length_scores.softmax(-1)
    # Words of topics are 4, 6 and 7.
    by_hand = length[2] * outside[2] * in_topics[1] * outside[1]
    log_prob = words(theta).log_prob(torch.tensor([[6, STOP, EOS]]))
    torch.testing.assert_close(log_prob, by_hand.log().reshape(1))


@pytest.mark.parametrize("kind", KINDS)
def test_words_one_by_one_are_the_words_together(kind):
    words, theta = words_of(kind), theta_of(kind, 1)
    tokens = torch.tensor([[7, UNK, EOS]])
    text = words(theta)
    state, previous, total = text.initial_state(), torch.tensor([1]), 0.0
    for token in tokens[0]:
        scores, state = text.step(previous, state)
        assert math.isclose(scores.exp().sum().item(), 1.0, rel_tol=1e-9)
        total += scores[0, token - 2]
        previous = token.reshape(1)
    torch.testing.assert_close(total.reshape(1), text.log_prob(tokens))


@pytest.mark.parametrize("kind", KINDS)
def test_topics_of_a_large_vocabulary_sum_to_one(kind):
    """1e-6 added to each word, as in the embedded topic model's own code, would make 1.02."""
    torch.manual_seed(0)
    topics = TopicWords(20_000, 3, MAX_LENGTH, 4, kind).topics()
    torch.testing.assert_close(topics.sum(1), torch.ones(3), atol=1e-4, rtol=0)
    assert (topics[:, : UNK + 1] == 0).all()


def test_parts_that_hang_on_no_topic():
    words = words_of("lda")
    tokens = torch.tensor([[6, STOP, EOS]])
    length, outside, in_topic = words.log_prob_of_parts(tokens, tokens != PAD)
    expected = words.length_scores.log_softmax(-1)[2]
    torch.testing.assert_close(length, expected.reshape(1))
    torch.testing.assert_close(
        outside[0], torch.cat([words.outside_scores.log_softmax(-1)[[2, 1]], torch.zeros(1)])
    )
    assert in_topic.tolist() == [[True, False, False]]


def test_stop_words_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="stop_words leave 1 of 5 words to the topics"):
        TopicWords(VOCAB_SIZE, 2, MAX_LENGTH, 4, "lda", stop_words=(4, 5, 6))
    with pytest.raises(ValueError, match="kind must be one of lda, etm, prodlda, nvdm"):
        TopicWords(VOCAB_SIZE, 2, MAX_LENGTH, 4, "LDA")
