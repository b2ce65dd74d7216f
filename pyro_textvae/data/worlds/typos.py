# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences of the grammar and what a careless hand made of them."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from pyro_textvae.data.languages.grammar import Grammar
from pyro_textvae.data.languages.spelling import nearest_in_spelling
from pyro_textvae.data.languages.synthetic_language import classes_of_words, shipped_grammar_text
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Estimate, Example, World, mean_and_error
from pyro_textvae.errors import UserError


class TyposWorld(World):
    r"""A sentence of the shipped grammar, and as its source the same with words mistaken.

    Each word is replaced with probability ``rate`` by one of those that look most like it, half of
    them of its own class, half of others, all equally likely. Some mistakes are sentences too.

    .. math:: p(y \mid x) = \frac{p(y) \prod_i p(x_i \mid y_i)}{\sum_{y'} p(y') \prod_i p(x_i \mid
        y'_i)}

    The sum is one run of the inside algorithm, each place a mixture of the words that it may be.

    >>> world = TyposWorld()
    >>> world.best_words("this man sold the shoes with anna hid")
    ['this', 'man', 'sold', 'the', 'shoes', 'that', 'anna', 'hid']

    :param rate: probability that a word is replaced, between 0 and 1.
    :param num_confusions: words that a word may be mistaken for, an even number.
    :raises UserError: for an option out of its range.
    """

    def __init__(self, rate: float = 0.13, num_confusions: int = 4) -> None:
        if not 0 < rate < 1:
            raise UserError(f"rate must be between 0 and 1, got {rate}")
        if num_confusions < 2 or num_confusions % 2:
            raise UserError(
                f"num_confusions must be an even number of at least 2, got {num_confusions}"
            )
        self.rate = rate
        self.num_confusions = num_confusions
        self.grammar = Grammar(shipped_grammar_text())

    @property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        return self.grammar.lexicon

    @cached_property
    def confusions(self) -> dict[str, list[str]]:
        """What each word may be mistaken for."""
        class_of = {word: name for name, words in classes_of_words().items() for word in words}
        half = self.num_confusions // 2
        sets = {}
        for word in self.lexicon:
            same = [w for w in self.lexicon if class_of.get(w) == class_of.get(word)]
            other = [w for w in self.lexicon if class_of.get(w) != class_of.get(word)]
            sets[word] = nearest_in_spelling(word, same, half)
            sets[word] += nearest_in_spelling(word, other, self.num_confusions - len(sets[word]))
        return sets

    @cached_property
    def meant(self) -> dict[str, dict[str, float]]:
        """For each word that is read, p(read | word) of all words that it may have been."""
        meant: dict[str, dict[str, float]] = {word: {} for word in self.lexicon}
        for word, others in self.confusions.items():
            meant[word][word] = 1 - self.rate
            for other in others:
                meant[other][word] = self.rate / self.num_confusions
        return meant

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """A sentence, and what was made of it as its source."""
        words = self.grammar.sample(generator)
        read = [
            str(generator.choice(self.confusions[word])) if generator.random() < self.rate else word
            for word in words
        ]
        return Example(" ".join(words), source=" ".join(read))

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text), or log p(text | source), in nats."""
        if label is not None:
            raise UserError(f"world:typos has no labels, got {label!r}")
        words = text.split(" ")
        log_prior = self.grammar.log_prob(words)
        if source is None:
            return log_prior
        read = source.split(" ")
        log_evidence = self.log_prob_of_source(source)
        if log_evidence == -math.inf:
            raise UserError(f"world:typos never draws the source {source!r}")
        if len(words) != len(read) or log_prior == -math.inf:
            return -math.inf
        channel = [self.meant[r].get(word, 0.0) for word, r in zip(words, read, strict=True)]
        if min(channel) == 0:
            return -math.inf
        return log_prior + sum(map(math.log, channel)) - log_evidence

    def entropy(self, num_examples: int = 0, seed: int = 0) -> Estimate:
        """H(text) in nats; exact, so no examples are drawn."""
        return Estimate(self.grammar.entropy, 0.0)

    def log_prob_of_source(self, source: str) -> float:
        """log p(source) in nats, summed over all texts."""
        rows = [self.grammar.inside.row(self.meant.get(word, {})) for word in source.split(" ")]
        return self.grammar.inside.log_prob_of_rows(rows)

    def word_posteriors(self, source: str) -> list[dict[str, float]]:
        """p(word of the text | source) at each place, exact.

        :raises UserError: for a source that the world never draws.
        """
        inside = self.grammar.inside
        read = source.split(" ")
        log_evidence = self.log_prob_of_source(source)
        if log_evidence == -math.inf:
            raise UserError(f"world:typos never draws the source {source!r}")
        rows = [inside.row(self.meant[word]) for word in read]
        posteriors = []
        for place, word in enumerate(read):
            posterior = {}
            for candidate, probability in self.meant[word].items():
                clamped = [*rows]
                clamped[place] = inside.row({candidate: probability})
                log_joint = inside.log_prob_of_rows(clamped)
                if log_joint > -math.inf:
                    posterior[candidate] = math.exp(log_joint - log_evidence)
            posteriors.append(posterior)
        return posteriors

    def best_words(self, source: str) -> list[str]:
        """At each place the word of the largest posterior: no reader has more words right.

        :raises UserError: for a source that the world never draws.
        """
        return [max(each, key=each.__getitem__) for each in self.word_posteriors(source)]

    def best_sentence(self, source: str) -> list[str]:
        """The words of the likeliest text given the source: no reader has more sentences right.

        Unlike :meth:`best_words` it is always a sentence of the language.

        >>> TyposWorld().best_sentence("this man sold the shoes with anna hid")
        ['this', 'man', 'sold', 'the', 'shoes', 'that', 'anna', 'hid']

        :raises UserError: for a source that the world never draws.
        """
        words, _ = self.grammar.likeliest.words([self.meant.get(w, {}) for w in source.split(" ")])
        if not words:
            raise UserError(f"world:typos never draws the source {source!r}")
        return words

    def accuracies(self, num_examples: int = 100, seed: int = 0) -> dict[str, Estimate]:
        """Shares that are right by the best readers and by doing nothing, means over draws.

        Of each source, the expected share under the exact posterior.

        :returns: ``words`` and ``sentences`` by the best reader of each, ``words_unchanged`` and
            ``sentences_unchanged`` by doing nothing.
        """
        generator = np.random.default_rng(seed)
        shares = []
        for _ in range(num_examples):
            source = self.draw(generator).source or ""
            posteriors = self.word_posteriors(source)
            best = " ".join(self.best_sentence(source))
            shares.append(
                (
                    np.mean([max(each.values()) for each in posteriors]),
                    np.mean(
                        [p.get(w, 0.0) for w, p in zip(source.split(), posteriors, strict=True)]
                    ),
                    math.exp(self.log_prob(best, source=source)),
                    math.exp(self.log_prob(source, source=source)),
                )
            )
        names = ("words", "words_unchanged", "sentences", "sentences_unchanged")
        columns = zip(names, zip(*shares, strict=True), strict=True)
        return {name: mean_and_error(list(column)) for name, column in columns}

    def bayes_accuracy(self, num_examples: int = 100, seed: int = 0) -> Estimate:
        """The share of words that the best reader has right, by the mean over draws."""
        generator = np.random.default_rng(seed)
        shares = []
        for _ in range(num_examples):
            posteriors = self.word_posteriors(self.draw(generator).source or "")
            shares.append(float(np.mean([max(p.values()) for p in posteriors])))
        return mean_and_error(shares)
