# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts that are assessed: their ids, their text, their words, and how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pyro_textvae.data import Tokenizer
from pyro_textvae.special_tokens import BOS, EOS, PAD


@dataclass(frozen=True)
class Sentences:
    """Texts in order.

    >>> sentences = Sentences((("a", "cat"), ("a",)), ((4, 5), (4,)))
    >>> sentences.texts, len(sentences), sentences[:1].texts
    (['a cat', 'a'], 2, ['a cat'])

    :param words: of each text, as whitespace sets them apart.
    :param ids: of each text, without ``<eos>``.
    :param made: how they were made: plain values.
    """

    words: tuple[tuple[str, ...], ...]
    ids: tuple[tuple[int, ...], ...]
    made: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_rows(
        cls, rows: Iterable[Sequence[int]], tokenizer: Tokenizer, made: dict[str, Any] | None = None
    ) -> Sentences:
        """Of rows of ids, which end with the first ``<eos>``."""
        ids = tuple(_until_end(row) for row in rows)
        words = tuple(tuple(tokenizer.decode(row).split()) for row in ids)
        return cls(words, ids, made or {})

    @cached_property
    def texts(self) -> list[str]:
        """Words with a space between."""
        return [" ".join(words) for words in self.words]

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, part: slice) -> Sentences:
        return Sentences(self.words[part], self.ids[part], self.made)


def _until_end(row: Sequence[int]) -> tuple[int, ...]:
    kept = []
    for index in row:
        if index == EOS:
            break
        if index not in (PAD, BOS):
            kept.append(int(index))
    return tuple(kept)
