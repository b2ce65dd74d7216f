# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of mistakes against a sum over all that a source may have been."""

import math
from itertools import product

import numpy as np
import pytest

from pyro_textvae.data.worlds import TyposWorld
from pyro_textvae.errors import UserError

WORLD = TyposWorld(rate=0.2, num_confusions=2)


def joint_probabilities(source):
    """p(text, source) of every text that the channel allows."""
    joint = {}
    for words in product(*(WORLD.meant[word] for word in source.split())):
        log_prior = WORLD.grammar.log_prob(words)
        if log_prior > -math.inf:
            channel = [WORLD.meant[r][w] for w, r in zip(words, source.split(), strict=True)]
            joint[" ".join(words)] = math.exp(log_prior) * math.prod(channel)
    return joint


def test_posterior_is_that_of_a_sum_over_all_texts():
    generator = np.random.default_rng(0)
    seen = 0
    while seen < 3:
        example = WORLD.draw(generator)
        if len(example.text.split()) > 5:
            continue
        seen += 1
        joint = joint_probabilities(example.source)
        total = sum(joint.values())
        assert WORLD.log_prob_of_source(example.source) == pytest.approx(math.log(total), abs=1e-10)
        best = max(joint, key=joint.__getitem__)
        words, log_joint = WORLD.grammar.likeliest.words(
            [WORLD.meant[word] for word in example.source.split()]
        )
        assert words == WORLD.best_sentence(example.source) == best.split()
        assert log_joint == pytest.approx(math.log(joint[best]), abs=1e-10)
        for text, probability in joint.items():
            expected = math.log(probability / total)
            assert WORLD.log_prob(text, source=example.source) == pytest.approx(expected, abs=1e-9)
        for place, posterior in enumerate(WORLD.word_posteriors(example.source)):
            assert sum(posterior.values()) == pytest.approx(1, abs=1e-9)
            for word, probability in posterior.items():
                with_it = sum(p for text, p in joint.items() if text.split()[place] == word)
                assert probability == pytest.approx(with_it / total, abs=1e-9)


def test_channel_is_a_distribution_over_what_is_read():
    total = dict.fromkeys(WORLD.lexicon, 0.0)
    for words in WORLD.meant.values():
        for word, probability in words.items():
            total[word] += probability
    assert all(value == pytest.approx(1, abs=1e-12) for value in total.values())


def test_best_reader_has_more_words_right_than_the_source():
    generator = np.random.default_rng(4)
    before = after = count = 0
    for _ in range(12):
        example = WORLD.draw(generator)
        text, source = example.text.split(), example.source.split()
        before += sum(a == b for a, b in zip(text, source, strict=True))
        after += sum(a == b for a, b in zip(text, WORLD.best_words(example.source), strict=True))
        count += len(text)
    assert after > before
    accuracy = WORLD.bayes_accuracy(12, seed=5)
    of_draws = (accuracy.value * (1 - accuracy.value) / count) ** 0.5
    error = math.hypot(accuracy.standard_error, of_draws)
    assert abs(after / count - accuracy.value) < 4.5 * error


def test_likeliest_sentence_of_a_long_source_is_a_sentence_and_likelier_than_what_was_meant():
    generator = np.random.default_rng(7)
    right = unchanged = 0
    for _ in range(12):
        example = WORLD.draw(generator)
        best = " ".join(WORLD.best_sentence(example.source))
        log_prob = WORLD.log_prob(best, source=example.source)
        assert log_prob >= WORLD.log_prob(example.text, source=example.source) - 1e-9
        right += best == example.text
        unchanged += example.source == example.text
    accuracies = WORLD.accuracies(12, seed=8)
    for share, told in (
        (right, accuracies["sentences"]),
        (unchanged, accuracies["sentences_unchanged"]),
    ):
        of_draws = (told.value * (1 - told.value) / 12) ** 0.5
        assert abs(share / 12 - told.value) < 4.5 * math.hypot(told.standard_error, of_draws)
    assert accuracies["words"].value > accuracies["words_unchanged"].value
    assert accuracies["sentences"].value > accuracies["sentences_unchanged"].value
    assert accuracies["words"] == WORLD.bayes_accuracy(12, seed=8)
    # A word stays with probability 0.8.
    assert abs(accuracies["words_unchanged"].value - 0.8) < 0.1


def test_a_source_that_cannot_be_has_no_likeliest_text():
    with pytest.raises(UserError, match="never draws the source 'anna anna'"):
        WORLD.best_sentence("anna anna")
    with pytest.raises(UserError, match="never draws the source 'zebra'"):
        WORLD.best_sentence("zebra")


def test_most_words_are_as_they_were():
    generator = np.random.default_rng(6)
    pairs = [
        pair
        for example in (WORLD.draw(generator) for _ in range(300))
        for pair in zip(example.text.split(), example.source.split(), strict=True)
    ]
    wrong = np.mean([word != read for word, read in pairs])
    assert abs(wrong - 0.2) < 4.5 * (0.2 * 0.8 / len(pairs)) ** 0.5
