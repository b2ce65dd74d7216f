# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The Viterbi algorithm of a grammar: the likeliest of all sentences that may have been meant."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from pyro_textvae.data.languages.binarised import binarised


class LikeliestSentence:
    """The words of the likeliest derivation, where what stands at each place is not certain.

    CKY with the largest in the place of the sum, in log space. In a grammar in which every sentence
    has one derivation these are the likeliest sentence's words.

    >>> rules = [("S", ("S", "S"), 0.4), ("S", ("a",), 0.5), ("S", ("b",), 0.1)]
    >>> likeliest = LikeliestSentence("S", rules, {"a": "a", "b": "b"})
    >>> words, log_joint = likeliest.words([{"a": 0.1, "b": 0.9}, {"a": 0.5, "b": 0.5}])
    >>> words, round(float(np.exp(log_joint)), 6)
    (['b', 'a'], 0.009)

    Source: Jurafsky and Martin, Speech and Language Processing, section on probabilistic CKY,
    https://web.stanford.edu/~jurafsky/slp3/.

    :param start: the start symbol.
    :param rules: left side, right side and probability of each; no right side is empty.
    :param words: the word of each symbol that is a terminal.
    """

    def __init__(
        self,
        start: Hashable,
        rules: Sequence[tuple[Hashable, tuple[Hashable, ...], float]],
        words: Mapping[Hashable, str],
    ) -> None:
        binary_rules = binarised(start, rules, words)
        self._start, self._size = binary_rules.start, binary_rules.num_symbols
        # (symbols, symbols): the likeliest chain of unit rules from one to another.
        chains = np.full((self._size, self._size), -np.inf)
        np.fill_diagonal(chains, 0.0)
        for parent, child, probability in binary_rules.unit:
            if probability:
                chains[parent, child] = max(chains[parent, child], np.log(probability))
        for middle in range(self._size):
            through = chains[:, middle, None] + chains[None, middle, :]
            chains = np.maximum(chains, through)
        self._words: dict[str, np.ndarray] = {}
        for parent, word, probability in binary_rules.lexical:
            if probability:
                row = self._words.setdefault(word, np.full(self._size, -np.inf))
                np.maximum(row, chains[:, parent] + np.log(probability), out=row)
        binary = [rule for rule in binary_rules.binary if rule[3]]
        self._left = np.array([left for _, left, _, _ in binary], dtype=np.intp)
        self._right = np.array([right for _, _, right, _ in binary], dtype=np.intp)
        # (symbols, binary rules): the likeliest way to each rule, and the rule.
        self._assemble = np.full((self._size, len(binary)), -np.inf)
        for column, (parent, _, _, probability) in enumerate(binary):
            self._assemble[:, column] = chains[:, parent] + np.log(probability)

    def words(self, places: Sequence[Mapping[str, float]]) -> tuple[list[str], float]:
        """The likeliest words, and the log of their probability times that of what stands there.

        :param places: for each, the probability of what stands there given each word that may have
            been meant.
        :returns: no words and ``-inf`` where there is no such sentence.
        """
        count = len(places)
        best = np.full((count, count + 1, self._size), -np.inf)
        rule = np.zeros((count, count + 1, self._size), dtype=np.intp)
        split = np.zeros((count, count + 1, len(self._left)), dtype=np.intp)
        candidates = [[w for w, p in place.items() if p and w in self._words] for place in places]
        for i, place in enumerate(places):
            for number, word in enumerate(candidates[i]):
                score = np.log(place[word]) + self._words[word]
                # At a leaf, the number of the word stands in the place of a rule's.
                rule[i, i + 1] = np.where(score > best[i, i + 1], number, rule[i, i + 1])
                np.maximum(best[i, i + 1], score, out=best[i, i + 1])
        for width in range(2, count + 1):
            for i in range(count - width + 1):
                j = i + width
                splits = np.arange(i + 1, j)
                parts = best[i, splits][:, self._left] + best[splits, j][:, self._right]
                split[i, j] = splits[parts.argmax(0)]
                scores = self._assemble + parts.max(0)
                rule[i, j] = scores.argmax(1)
                best[i, j] = scores.max(1)
        log_joint = float(best[0, count, self._start]) if count else -np.inf
        if log_joint == -np.inf:
            return [], -np.inf
        words, pending = [], [(0, count, self._start)]
        while pending:
            i, j, symbol = pending.pop()
            number = rule[i, j, symbol]
            if j == i + 1:
                words.append(candidates[i][number])
                continue
            middle = split[i, j, number]
            pending += [(middle, j, self._right[number]), (i, middle, self._left[number])]
        return words, log_joint
