# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of samples against counts on a page of text, made by hand."""

import math

import numpy as np
import pytest

from pyro_textvae.assessment.metrics import (
    Copying,
    Distinct,
    NGramEntropy,
    Repetition,
    SelfBleu,
    TextDistance,
)
from pyro_textvae.assessment.metrics.distinct import distinct
from pyro_textvae.assessment.metrics.ngram_entropy import entropy
from pyro_textvae.assessment.ngrams import NGrams
from tests.assessment.texts import by_name, material, sentences, values

# 10 words of 3 kinds; 7 pairs of 3 kinds (ab, ba, bc); 4 triples of 3 kinds; one of four.
PAGE = ("a b a b", "a b c", "a b c")


def test_distinct_counts_kinds_over_the_whole_text():
    found = by_name(Distinct(), material(PAGE, ("a b", "c d")))
    expected = {1: 3 / 10, 2: 3 / 7, 3: 3 / 4, 4: 1.0}
    assert {n: found[f"distinct_{n}"].value for n in expected} == pytest.approx(expected)
    assert found["distinct_1"].real == found["distinct_2"].real == 1.0
    assert found["distinct_3"].real is None


def test_entropy_is_that_of_the_counts():
    found = values(NGramEntropy(), material(PAGE, PAGE))
    # a 4, b 4, c 2 of 10; ab 4, ba 1, bc 2 of 7.
    of_words = -(0.8 * math.log(0.4) + 0.2 * math.log(0.2))
    of_pairs = -(4 / 7 * math.log(4 / 7) + 1 / 7 * math.log(1 / 7) + 2 / 7 * math.log(2 / 7))
    assert found["entropy_1"] == pytest.approx(of_words)
    assert found["entropy_2"] == pytest.approx(of_pairs)
    assert found["entropy_4"] == 0.0


def test_a_resample_counts_each_sentence_as_often_as_it_has_it():
    words = NGrams([text.split() for text in PAGE], 1)
    twice = np.array([2, 0, 1])
    # a 5, b 5, c 1 of 11.
    assert distinct(words, twice) == pytest.approx(3 / 11)
    shares = np.array([5, 5, 1]) / 11
    assert entropy(words, twice) == pytest.approx(-(shares * np.log(shares)).sum())


def test_repetition_is_counted_within_sentences():
    found = by_name(Repetition(), material(PAGE, PAGE))
    assert found["repeated_1"].value == pytest.approx((1 - 2 / 4) / 3)
    assert found["repeated_2"].value == pytest.approx((1 - 2 / 3) / 3)
    assert found["repeated_3"].value == 0.0
    assert found["repeated_4"].num_sentences == 1


def test_self_bleu_is_the_mean_over_sentences_with_all_others_as_references():
    texts = ("a b c d", "a b c e", "x y")
    # Of the first: 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, and none of the one quadruple, which
    # sacrebleu's smoothing takes for a half; as long as the nearest reference. The third has none.
    one = 100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25
    found = by_name(SelfBleu(), material(texts, ("a", "a")))["self_bleu"]
    assert found.value == pytest.approx(2 * one / 3)
    assert found.real == pytest.approx(100.0)
    assert "nrefs:2" in found.note


def test_copying_finds_the_longest_run_in_one_training_sentence():
    training = sentences("a b c d", "e f g", "x y")
    texts = ("a b c d", "b c d e f", "q", "x y z")
    run = material(texts, ("x", "y"), training=training)
    found = by_name(Copying(), run)
    assert found["copied_sentences"].value == pytest.approx(1 / 4)
    # a b c d; b c d, not b c d e f, which goes over the end of a sentence; nothing; x y.
    assert found["copied_words"].value == pytest.approx((4 + 3 + 0 + 2) / 4)
    assert found["copied_share"].value == pytest.approx((1 + 3 / 5 + 0 + 2 / 3) / 4)
    assert (found["copied_most"].value, found["copied_most"].real) == (4.0, 1.0)
    assert run.examples[1] == {
        "sample": "b c d e f",
        "copied": "b c d",
        "training_sentence": "a b c d",
    }


def test_distances_of_lengths_and_of_words():
    run = material(("a", "a a a"), ("b b", "b b"), other_real=sentences("b b", "b b"))
    found = by_name(TextDistance(), run)
    assert found["length_distance"].value == pytest.approx(1.0)
    assert found["word_distance"].value == pytest.approx(math.log(2))
    assert found["length_distance"].real == found["word_distance"].real == pytest.approx(0.0)


def test_divergence_of_words_goes_by_shares_and_not_by_counts():
    run = material(("a b", "a b", "a b"), ("a", "a b"), other_real=sentences("a", "b"))
    p, q = (1 / 2, 1 / 2), (2 / 3, 1 / 3)
    mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]

    def entropy(shares):
        return -sum(share * math.log(share) for share in shares)

    expected = entropy(mean) - (entropy(p) + entropy(q)) / 2
    assert values(TextDistance(), run)["word_distance"] == pytest.approx(expected)
