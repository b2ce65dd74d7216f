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
    :param documents: of documents, each with a line end between its sentences.
    """

    words: tuple[tuple[str, ...], ...]
    ids: tuple[tuple[int, ...], ...]
    made: dict[str, Any] = field(default_factory=dict)
    documents: tuple[str, ...] | None = None

    @classmethod
    def of_rows(
        cls, rows: Iterable[Sequence[Any]], tokenizer: Tokenizer, made: dict[str, Any] | None = None
    ) -> Sentences:
        """Of rows of ids, which end with the first ``<eos>``.

        Of the rows of rows of documents, each is one text of all of its sentences.
        """
        given = list(rows)
        ids = tuple(_ids_of(row) for row in given)
        words = tuple(tuple(tokenizer.decode(row).split()) for row in ids)
        documents = None
        if given and _is_document(given[0]):
            documents = tuple(
                "\n".join(tokenizer.decode(row) for row in rows if any(row)) for rows in given
            )
        return cls(words, ids, made or {}, documents)

    @cached_property
    def texts(self) -> list[str]:
        """Words with a space between."""
        return [" ".join(words) for words in self.words]

    @property
    def lines(self) -> Sequence[str]:
        """The texts as a world tells their probability: of documents a line for each sentence."""
        return self.texts if self.documents is None else self.documents

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, part: slice) -> Sentences:
        documents = None if self.documents is None else self.documents[part]
        return Sentences(self.words[part], self.ids[part], self.made, documents)


def _ids_of(row: Sequence[Any]) -> tuple[int, ...]:
    if _is_document(row):
        return tuple(index for sentence in row for index in _until_end(sentence))
    return _until_end(row)


def _is_document(row: Sequence[Any]) -> bool:
    return bool(row) and isinstance(row[0], Sequence)


def _until_end(row: Sequence[int]) -> tuple[int, ...]:
    kept = []
    for index in row:
        if index == EOS:
            break
        if index not in (PAD, BOS):
            kept.append(int(index))
    return tuple(kept)
