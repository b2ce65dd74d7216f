# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The longest pieces of sentences that stand in another text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

_BETWEEN = -1


class Piece(NamedTuple):
    """A run of words that stands in the text too.

    length
        In words; 0 where no word is in the text.
    start
        Of the piece in the sentence.
    place
        The sentence of the text that has it, the first one.
    """

    length: int
    start: int
    place: int


class IndexedText:
    """A text in which pieces of other sentences are looked up.

    >>> text = IndexedText([["a", "b", "c"], ["b", "c", "d"]])
    >>> text.longest_piece(["x", "b", "c", "d", "a"])
    Piece(length=3, start=1, place=1)

    :param sentences: the words of each.
    """

    def __init__(self, sentences: Sequence[Sequence[str]]) -> None:
        self._numbers: dict[str, int] = {}
        flat, owners = [], []
        for owner, words in enumerate(sentences):
            flat += [self._numbers.setdefault(word, len(self._numbers)) for word in words]
            flat.append(_BETWEEN)
            owners += [owner] * (len(words) + 1)
        self._words: Array = np.array([*flat, _BETWEEN], dtype=np.int64)
        self._owners: Array = np.array([*owners, 0], dtype=np.int64)
        order = np.argsort(self._words, kind="stable")
        self._places = order
        self._starts = np.searchsorted(self._words[order], np.arange(len(self._numbers) + 1))

    def longest_piece(self, sentence: Sequence[str]) -> Piece:
        """The longest run of words of a sentence that stands in one sentence of the text."""
        numbers = [self._numbers.get(word, -2) for word in sentence]
        best = Piece(0, 0, 0)
        for start in range(len(numbers)):
            if len(numbers) - start <= best.length:
                break
            length, place = self._longest_from(numbers[start:])
            if length > best.length:
                best = Piece(length, start, int(self._owners[place]))
        return best

    def _longest_from(self, numbers: Sequence[int]) -> tuple[int, int]:
        if numbers[0] < 0:
            return 0, 0
        places = self._places[self._starts[numbers[0]] : self._starts[numbers[0] + 1]]
        length = 1
        for number in numbers[1:]:
            going_on = places[self._words[places + length] == number]
            if not len(going_on):
                break
            places, length = going_on, length + 1
        return length, int(places[0])
