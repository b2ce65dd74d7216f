# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words outside a vocabulary that sources have, so that a text can copy them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

COPIED_WORDS = "copied_words.json"
"""The file of a store with the words that its ids beyond the vocabulary stand for."""


class CopiedWords:
    """Words outside a vocabulary, each with a place of its own, in the order in which they came.

    >>> words = CopiedWords(["zorblax"])
    >>> words.place("quibble"), words.place("zorblax"), words.place("unheard", add=False)
    (1, 0, None)
    >>> list(words)
    ['zorblax', 'quibble']
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._places: dict[str, int] = {}
        self._words: list[str] = []
        for word in words:
            self.place(word)

    def place(self, word: str, *, add: bool = True) -> int | None:
        """The place of a word, which is given one where it has none, or is not there: None."""
        place = self._places.get(word)
        if place is None and add:
            place = self._places[word] = len(self._words)
            self._words.append(word)
        return place

    def __getitem__(self, place: int) -> str:
        return self._words[place]

    def __len__(self) -> int:
        return len(self._words)

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def save(self, folder: Path) -> None:
        """Write the words into the folder of a store."""
        (folder / COPIED_WORDS).write_text(json.dumps(self._words), encoding="utf-8")


_OF_VOCABULARY: dict[str, CopiedWords] = {}


def copied_words_of(fingerprint: str) -> CopiedWords:
    """Those of all tokenizers of one fingerprint in this process.

    Several tokenizers are the same one loaded anew, a run's and that of its corpus, and what one
    of them has encoded another decodes.
    """
    return _OF_VOCABULARY.setdefault(fingerprint, CopiedWords())


class RenamedIds:
    """From the ids beyond the vocabulary that a store has, to those of this process.

    >>> words = CopiedWords(["heard", "before"])
    >>> RenamedIds(["zorblax", "heard"], words, vocab_size=9)(torch.tensor([4, 9, 10, 2]))
    tensor([ 4, 11,  9,  2])

    :param stored: the words of the store.
    :param words: those of this process, to which they are added.
    """

    def __init__(self, stored: Sequence[str], words: CopiedWords, vocab_size: int) -> None:
        places = [words.place(word) for word in stored]
        self._vocab_size = vocab_size
        self._ids = torch.tensor(places, dtype=torch.long) + vocab_size
        self._changes_any = places != list(range(len(places)))

    def __call__(self, ids: Tensor) -> Tensor:
        """The ids of this process, of the shape of ``ids``."""
        if not self._changes_any:
            return ids
        beyond = ids >= self._vocab_size
        renamed = ids.clone()
        renamed[beyond] = self._ids[ids[beyond] - self._vocab_size]
        return renamed


def stored_words(folder: Path) -> list[str]:
    """The words that a store's ids beyond the vocabulary stand for; none without its file."""
    path = folder / COPIED_WORDS
    words: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return words


def copied_from(ids: np.ndarray, source: np.ndarray, vocab_size: int, unknown: int) -> np.ndarray:
    """The ids with ``unknown`` for those beyond the vocabulary that the source does not have.

    >>> copied_from(np.array([4, 9, 10]), np.array([5, 9, 2]), vocab_size=9, unknown=3)
    array([4, 9, 3])
    """
    beyond = ids >= vocab_size
    if not beyond.any():
        return ids
    return np.where(beyond & ~np.isin(ids, source), unknown, ids)
