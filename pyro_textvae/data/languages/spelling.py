# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words that look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def nearest_in_spelling(word: str, others: Sequence[str], count: int) -> list[str]:
    """The words that share most pairs of letters with ``word``, itself left out.

    By the Dice coefficient of pairs, the ends of a word counted as letters; alphabetical where
    equal.

    >>> nearest_in_spelling("boat", ["coat", "letter", "boat", "boots"], 2)
    ['coat', 'boots']

    Source: Dice 1945, https://doi.org/10.2307/1932409.
    """
    own = _pairs(word)
    similarity = {other: _dice(own, _pairs(other)) for other in others if other != word}
    return sorted(similarity, key=lambda other: (-similarity[other], other))[:count]


def _pairs(word: str) -> Counter[str]:
    marked = f" {word} "
    return Counter(a + b for a, b in zip(marked, marked[1:], strict=False))


def _dice(one: Counter[str], other: Counter[str]) -> float:
    return 2 * (one & other).total() / (one.total() + other.total())
