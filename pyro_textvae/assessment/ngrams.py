# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The n-grams of sentences, counted once for all resamples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class NGrams:
    """All n-grams of sentences, as numbers.

    >>> grams = NGrams([["a", "b", "a"], ["a", "b"]], 2)
    >>> grams.counts().tolist(), grams.repeated().tolist()
    ([2, 1], [0.0, 0.0])

    :param sentences: the words of each.
    :param order: n, the words of an n-gram.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], order: int) -> None:
        numbers: dict[tuple[str, ...], int] = {}
        kinds, owners = [], []
        for owner, words in enumerate(sentences):
            for start in range(len(words) - order + 1):
                gram = tuple(words[start : start + order])
                kinds.append(numbers.setdefault(gram, len(numbers)))
                owners.append(owner)
        self.order = order
        self.kinds: Array = np.array(kinds, dtype=np.int64)
        """Which n-gram stands at each place of all sentences, ``(M,)``."""
        self.owners: Array = np.array(owners, dtype=np.int64)
        """Whose place it is, ``(M,)``."""
        self.num_kinds = len(numbers)
        self.num_sentences = len(sentences)

    def __len__(self) -> int:
        return len(self.kinds)

    def counts(self, weights: Array | None = None) -> Array:
        """How often each n-gram stands in the sentences, ``(num_kinds,)``.

        :param weights: how often each sentence counts, ``(N,)``; by default once.
        """
        of_place = None if weights is None else weights[self.owners]
        return np.bincount(self.kinds, of_place, minlength=self.num_kinds)

    def repeated(self) -> Array:
        """The share of each sentence's n-grams that stood in it before, ``(N,)``; NaN without."""
        totals = np.bincount(self.owners, minlength=self.num_sentences).astype(float)
        pairs = np.unique(np.stack([self.owners, self.kinds]), axis=1)[0]
        distinct = np.bincount(pairs, minlength=self.num_sentences)
        totals[totals == 0] = np.nan
        return 1 - distinct / totals
