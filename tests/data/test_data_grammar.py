# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Grammars: inside probabilities against enumeration, entropy against draws and by hand."""

import math
from collections import defaultdict

import numpy as np
import pytest

from pyro_textvae.data import Grammar
from pyro_textvae.data.languages.grammar import Word
from pyro_textvae.data.languages.synthetic_language import shipped_grammar_text
from pyro_textvae.errors import UserError

AMBIGUOUS_ATTACHMENT = """
S -> NP VP [1.0]
VP -> V NP [0.6] | VP PP [0.4]
NP -> NP PP [0.3] | 'i' [0.3] | 'stars' [0.25] | 'glasses' [0.15]
PP -> 'with' NP [1.0]
V -> 'saw' [1.0]
"""
CATALAN = "S -> S S [0.4] | 'a' [0.5] | 'b' [0.1]"
# Unit rules in chains and two ways to one word, long rules, words among symbols.
MIXED = """
S -> A [0.3] | B [0.2] | 'x' S 'y' B [0.2] | A B 'z' [0.3]
A -> B [0.4] | 'a' [0.5] | B B [0.1]
B -> 'b' [0.6] | 'a' [0.4]
"""


def enumerated(grammar, longest, least=1e-14):
    """Sum the probability of every leftmost derivation of a sentence of at most `longest` words."""
    total = defaultdict(float)
    pending = [((), (grammar.start,), 1.0)]
    while pending:
        words, rest, probability = pending.pop()
        while rest and isinstance(rest[0], Word):
            words, rest = (*words, rest[0].word), rest[1:]
        if not rest:
            total[words] += probability
        elif len(words) + len(rest) <= longest and probability > least:
            for right, share in grammar.rules[rest[0]]:
                pending.append((words, (*right, *rest[1:]), probability * share))
    return {words: p for words, p in total.items() if len(words) <= longest}


@pytest.fixture(scope="module")
def shipped():
    return Grammar(shipped_grammar_text())


@pytest.mark.parametrize(("text", "longest"), [(AMBIGUOUS_ATTACHMENT, 7), (CATALAN, 6), (MIXED, 7)])
def test_inside_equals_the_sum_over_all_derivations(text, longest):
    grammar = Grammar(text)
    probabilities = enumerated(grammar, longest)
    assert len(probabilities) > 50
    for words, probability in probabilities.items():
        assert grammar.log_prob(words) == pytest.approx(math.log(probability), abs=1e-10)


def test_two_attachments_of_one_sentence_by_hand():
    words = "i saw stars with glasses".split()
    with_ = 0.15
    to_verb = 0.3 * 0.4 * 0.6 * 0.25 * with_
    to_noun = 0.3 * 0.6 * 0.3 * 0.25 * with_
    assert Grammar(AMBIGUOUS_ATTACHMENT).log_prob(words) == pytest.approx(
        math.log(to_verb + to_noun), abs=1e-12
    )


def test_cycles_of_unit_rules_are_summed_in_closed_form():
    grammar = Grammar("S -> A [0.5] | 'a' [0.5]\nA -> S [0.5] | 'b' [0.5]")
    assert grammar.log_prob(["a"]) == pytest.approx(math.log(2 / 3), abs=1e-12)
    assert grammar.log_prob(["b"]) == pytest.approx(math.log(1 / 3), abs=1e-12)


def test_non_sentences_have_probability_zero(shipped):
    grammar = Grammar(MIXED)
    for words in ([], ["z"], ["nowhere"], ["a", "z"], ["x", "a", "y"]):
        assert grammar.log_prob(words) == -math.inf
    words = shipped.sample(np.random.default_rng(1))
    assert shipped.log_prob(words) > -math.inf
    assert shipped.log_prob([*words, "and"]) == -math.inf
    assert shipped.log_prob(words[::-1]) == -math.inf


def test_long_improbable_sentences_do_not_underflow():
    grammar = Grammar("S -> A S [0.9] | A [0.1]\nA -> 'a' [0.0001] | 'b' [0.9999]")
    expected = 120 * math.log(0.0001) + 119 * math.log(0.9) + math.log(0.1)
    assert expected < -745
    assert grammar.log_prob(["a"] * 120) == pytest.approx(expected, rel=1e-12)


def test_probabilities_that_nearly_sum_to_one_are_normalised():
    grammar = Grammar("S -> 'a' [0.333] | 'b' [0.333] | 'c' [0.333]")
    assert grammar.log_prob(["a"]) == pytest.approx(-math.log(3), abs=1e-12)
    assert grammar.entropy == pytest.approx(math.log(3), abs=1e-12)


def test_entropy_and_length_by_hand():
    grammar = Grammar("S -> 'a' S [0.75] | 'b' [0.25]")
    own = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert grammar.entropy == pytest.approx(4 * own, abs=1e-12)
    assert grammar.expected_length == pytest.approx(4.0, abs=1e-12)


def test_shipped_grammar_is_unambiguous_so_inside_is_the_derivation(shipped):
    generator = np.random.default_rng(5)
    for _ in range(500):
        words, log_probability = shipped.sample_derivation(generator)
        assert shipped.log_prob(words) == pytest.approx(log_probability, abs=1e-9)


def test_entropy_and_length_agree_with_draws(shipped):
    # A z-score under 4.5 fails a right implementation once in 150,000; the seed is fixed.
    generator = np.random.default_rng(11)
    draws = [shipped.sample_derivation(generator) for _ in range(20_000)]
    information = -np.array([log_probability for _, log_probability in draws])
    lengths = np.array([len(words) for words, _ in draws], dtype=float)
    for values, exact in ((information, shipped.entropy), (lengths, shipped.expected_length)):
        error = values.std(ddof=1) / math.sqrt(len(values))
        assert abs(values.mean() - exact) / error < 4.5
        assert error / exact < 0.01


def test_ambiguous_sampling_frequencies_agree_with_inside():
    # Counts are binomial; the largest of about 10 z-scores stays under 4.5. Fixed seed.
    grammar = Grammar(CATALAN)
    generator = np.random.default_rng(3)
    counts = defaultdict(int)
    for _ in range(20_000):
        counts[tuple(grammar.sample(generator))] += 1
    for words in (("a",), ("b",), ("a", "a"), ("a", "b"), ("b", "a", "a"), ("a",) * 4):
        p = math.exp(grammar.log_prob(words))
        assert abs(counts[words] - 20_000 * p) / math.sqrt(20_000 * p * (1 - p)) < 4.5


def test_shipped_language_has_the_promised_shape(shipped):
    assert 250 <= len(shipped.lexicon) <= 400
    assert 8 <= shipped.expected_length <= 12
    assert shipped.lexicon == sorted(set(shipped.lexicon))
    lexical = [
        right[0].word
        for rules in shipped.rules.values()
        for right, _ in rules
        if len(right) == 1 and isinstance(right[0], Word)
    ]
    # `the` is a determiner of one and of several, and is told apart by the noun.
    assert {word for word in lexical if lexical.count(word) > 1} <= {"the"}


def test_sampling_depends_on_the_generator_alone(shipped):
    left, right = (
        [shipped.sample(np.random.default_rng(seed)) for _ in range(1)] for seed in (4, 4)
    )
    assert left == right


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("S -> S S [0.5] | 'a' [0.5]", "no finite expected length .spectral radius 1"),
        ("S -> S S [0.6] | 'a' [0.4]", "no finite expected length .spectral radius 1.2"),
        ("S -> S [1.0]", "no finite expected length"),
        ("S -> A 'b' [1.0]", "no rule for 'A'"),
        ("S -> 'a' [0.5]", "NLTK cannot read the grammar"),
        ("nonsense", "NLTK cannot read the grammar"),
        ("S -> 'a' [0.5] | [0.5]", "is empty"),
    ],
)
def test_bad_grammars(text, match):
    with pytest.raises(UserError, match=match) as caught:
        Grammar(text)
    assert "\n" not in str(caught.value)


def test_bad_arguments(shipped):
    with pytest.raises(UserError, match="takes a list of words"):
        shipped.log_prob("the cat")
    with pytest.raises(UserError, match="numpy Generator, not int"):
        shipped.sample(3)
