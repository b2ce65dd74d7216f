# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A probabilistic context-free grammar: sampling, exact sentence probability, exact entropy."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np

from pyro_textvae.data.import_nltk import import_nltk
from pyro_textvae.data.languages.inside import InsideAlgorithm
from pyro_textvae.data.languages.likeliest_sentence import LikeliestSentence
from pyro_textvae.errors import UserError


class Grammar:
    """A language whose sentence probabilities are known: a probabilistic context-free grammar.

    >>> grammar = Grammar("S -> 'a' S [0.25] | 'a' [0.75]")
    >>> grammar.sample(np.random.default_rng(0))
    ['a']
    >>> round(float(np.exp(grammar.log_prob(["a", "a"]))), 4)
    0.1875
    >>> round(grammar.expected_length, 4)
    1.3333

    :param text: the grammar in NLTK's notation, in lines such as ``NP -> Det N [0.7] | NP PP
        [0.3]``, of which the first left side is the start symbol; NLTK lets the probabilities of a
        symbol miss 1 by 0.01, here they are normalised.
    :raises UserError: for text that NLTK cannot read, a symbol without rules, an empty right side,
        or a grammar whose sentences have no finite expected length (spectral radius of the matrix
        of expected children at least 1).
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.start, self.rules = _read(text)
        self._nonterminals = list(self.rules)
        expected_children, _ = self._moments()
        radius = max(abs(np.linalg.eigvals(expected_children)))
        if radius >= 1 - 1e-9:
            raise UserError(
                f"the grammar has no finite expected length (spectral radius {radius:.4g}); lower"
                " the probability of its recursive rules"
            )
        self._cumulative = {
            symbol: list(accumulate(probability for _, probability in rules))
            for symbol, rules in self.rules.items()
        }

    @cached_property
    def lexicon(self) -> list[str]:
        """All words of the grammar, in alphabetical order."""
        children = [child for rules in self.rules.values() for right, _ in rules for child in right]
        return sorted({child.word for child in children if isinstance(child, Word)})

    def sample(self, generator: np.random.Generator) -> list[str]:
        """Draw the words of one sentence.

        :raises UserError: for a generator that is not NumPy's.
        """
        return self.sample_derivation(generator)[0]

    def sample_derivation(self, generator: np.random.Generator) -> tuple[list[str], float]:
        """Draw a derivation.

        :returns: its words, and its log-probability in nats.
        :raises UserError: for a generator that is not NumPy's.
        """
        if not isinstance(generator, np.random.Generator):
            raise UserError(
                f"sample needs a numpy Generator, not {type(generator).__name__}; use"
                " numpy.random.default_rng(seed)"
            )
        words: list[str] = []
        log_probability = 0.0
        pending: list[Symbol] = [self.start]
        while pending:
            symbol = pending.pop()
            if isinstance(symbol, Word):
                words.append(symbol.word)
                continue
            rules, cumulative = self.rules[symbol], self._cumulative[symbol]
            drawn = bisect_right(cumulative, generator.random() * cumulative[-1])
            right, probability = rules[min(drawn, len(rules) - 1)]
            log_probability += float(np.log(probability))
            pending.extend(reversed(right))
        return words, log_probability

    def log_prob(self, words: Sequence[str]) -> float:
        """log p(words) in nats, summed over all derivations; -inf for a non-sentence.

        :param words: the words of one sentence.
        :raises UserError: for a string, which is not split into words.
        """
        if isinstance(words, str):
            raise UserError(f"log_prob takes a list of words, not the string {words!r}; split it")
        return self.inside.log_prob(words)

    @cached_property
    def inside(self) -> InsideAlgorithm:
        """Probabilities of sentences, and of places whose words are not certain."""
        return InsideAlgorithm(self.start, *self._rules_and_words)

    @cached_property
    def likeliest(self) -> LikeliestSentence:
        """The likeliest sentence where words are not certain."""
        return LikeliestSentence(self.start, *self._rules_and_words)

    @property
    def _rules_and_words(self) -> tuple[list, dict]:
        rules = [
            (left, tuple(right), probability)
            for left, alternatives in self.rules.items()
            for right, probability in alternatives
        ]
        words = {child for _, right, _ in rules for child in right if isinstance(child, Word)}
        return rules, {word: word.word for word in words}

    @cached_property
    def entropy(self) -> float:
        r"""Entropy of a derivation in nats; of a sentence too where the grammar is unambiguous.

        .. math:: h = h_0 + M h

        with :math:`h_0` the entropy of the choice of a rule at each symbol, and :math:`M` the
        expected number of children of each symbol.

        Source: Grenander 1967, "Syntax-controlled probabilities", Brown University.
        """
        return self._expected_total(
            {
                symbol: -sum(p * float(np.log(p)) for _, p in rules)
                for symbol, rules in self.rules.items()
            }
        )

    @cached_property
    def expected_length(self) -> float:
        """Expected number of words of a sentence."""
        _, expected_words = self._moments()
        return self._expected_total(dict(zip(self._nonterminals, expected_words, strict=True)))

    def _expected_total(self, at_symbol: dict[str, float]) -> float:
        """Expected sum over a derivation's nodes of a quantity that each symbol contributes."""
        expected_children, _ = self._moments()
        identity = np.eye(len(self._nonterminals))
        right = np.array([at_symbol[symbol] for symbol in self._nonterminals])
        totals = np.linalg.solve(identity - expected_children, right)
        return float(totals[self._nonterminals.index(self.start)])

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        index = {symbol: number for number, symbol in enumerate(self._nonterminals)}
        children = np.zeros((len(index), len(index)))
        words = np.zeros(len(index))
        for symbol, rules in self.rules.items():
            for right, probability in rules:
                for child in right:
                    if isinstance(child, Word):
                        words[index[symbol]] += probability
                    else:
                        children[index[symbol], index[child]] += probability
        return children, words


class Word(tuple[str]):
    """A terminal; a type of its own, so that the word ``NP`` is not the symbol ``NP``."""

    __slots__ = ()

    @property
    def word(self) -> str:
        return self[0]


Symbol = str | Word
Rules = dict[str, list[tuple[list[Symbol], float]]]


def _read(text: str) -> tuple[str, Rules]:
    """Parse grammar text; keeps the symbols that the start reaches, probabilities summing to 1."""
    nltk = import_nltk()
    try:
        parsed = nltk.PCFG.fromstring(text)
    except ValueError as error:
        line = " ".join(str(error).split())
        raise UserError(f"NLTK cannot read the grammar ({line}); fix that line") from None
    start = str(parsed.start())
    rules: Rules = {}
    reached = [start]
    while reached:
        symbol = reached.pop()
        if symbol in rules:
            continue
        productions = parsed.productions(lhs=nltk.Nonterminal(symbol))
        total = sum(production.prob() for production in productions)
        if not total:
            raise UserError(f"the grammar has no rule for {symbol!r}; add one or quote the word")
        rules[symbol] = []
        for production in productions:
            if not production.rhs():
                raise UserError(f"the grammar's rule {str(production)!r} is empty; write it out")
            right: list[Symbol] = [
                str(child) if isinstance(child, nltk.Nonterminal) else Word((child,))
                for child in production.rhs()
            ]
            if not production.prob():
                continue
            rules[symbol].append((right, production.prob() / total))
            reached.extend(child for child in reversed(right) if isinstance(child, str))
    return start, rules
