# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The inside algorithm: the probability of a sentence under a grammar, over all derivations."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from pyro_textvae.data.languages.binarised import binarised


class InsideAlgorithm:
    """Sentence probabilities by CKY on a binarised grammar, unit rules summed in closed form.

    Chains of unit rules of any length are a geometric series, whose
    sum is (I - U)^-1. Every span is scaled by its largest entry, so long sentences do not
    underflow.

    Source: Stolcke 1995, https://aclanthology.org/J95-2002, for the chains of unit rules.

    >>> rules = [("S", ("S", "S"), 0.5), ("S", ("a",), 0.5)]
    >>> inside = InsideAlgorithm("S", rules, {"a": "a"})
    >>> round(float(np.exp(inside.log_prob(["a", "a", "a"]))), 4)
    0.0625

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
        self._start, size = binary_rules.start, binary_rules.num_symbols
        unit, binary, lexical = binary_rules.unit, binary_rules.binary, binary_rules.lexical
        unit_matrix = np.zeros((size, size))
        for parent, child, probability in unit:
            unit_matrix[parent, child] += probability
        # Rounding must not open a way that no rule opens: a non-sentence has exactly zero.
        connected = np.linalg.matrix_power((unit_matrix > 0) + np.eye(size, dtype=bool), size) > 0
        self._closure = np.linalg.inv(np.eye(size) - unit_matrix) * connected
        self._words: dict[str, np.ndarray] = {}
        for parent, word, probability in lexical:
            self._words.setdefault(word, np.zeros(size))[parent] += probability
        for word, row in self._words.items():
            self._words[word] = self._closure @ row
        self._left = np.array([left for _, left, _, _ in binary], dtype=np.intp)
        self._right = np.array([right for _, _, right, _ in binary], dtype=np.intp)
        # (symbols, binary rules): unit closure and rule probability in one product.
        self._assemble = np.zeros((size, len(binary)))
        for column, (parent, _, _, probability) in enumerate(binary):
            self._assemble[:, column] = self._closure[:, parent] * probability

    def log_prob(self, words: Sequence[str]) -> float:
        """log p(words) in nats; -inf for a non-sentence."""
        nothing = np.zeros(len(self._closure))
        return self.log_prob_of_rows([self._words.get(word, nothing) for word in words])

    def row(self, probabilities: Mapping[str, float]) -> np.ndarray:
        """What :meth:`log_prob_of_rows` takes for a place whose word is not certain.

        :param probabilities: of what stands there, given each word that may have been meant.
        """
        row = np.zeros(len(self._closure))
        for word, probability in probabilities.items():
            if word in self._words:
                row += probability * self._words[word]
        return row

    def log_prob_of_rows(self, rows: Sequence[np.ndarray]) -> float:
        """The log of the sum over all sentences of p(sentence) p(what stands there | sentence).

        :param rows: a :meth:`row` for each place.
        """
        if not rows:
            return -np.inf
        count = len(rows)
        # Span [i, j) has probability chart * exp(scale).
        chart = np.zeros((count, count + 1, len(self._closure)))
        scale = np.full((count, count + 1), -np.inf)
        for width in range(1, count + 1):
            for i in range(count - width + 1):
                j = i + width
                if width == 1:
                    inside, offset = rows[i], 0.0
                else:
                    scales = scale[i, i + 1 : j] + scale[i + 1 : j, j]
                    offset = float(scales.max())
                    if offset == -np.inf:
                        continue
                    splits = np.flatnonzero(scales > -np.inf) + i + 1
                    left = chart[i, splits][:, self._left]
                    right = chart[splits, j][:, self._right]
                    shares = np.exp(scales[splits - i - 1] - offset)
                    inside = self._assemble @ (shares @ (left * right))
                largest = inside.max()
                if largest > 0:
                    chart[i, j] = inside / largest
                    scale[i, j] = offset + np.log(largest)
        final = chart[0, count, self._start]
        return float(np.log(final) + scale[0, count]) if final > 0 else -np.inf
