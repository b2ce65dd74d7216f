# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How documents lie in the lines of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

Splitter = Callable[[str], list[str]]
"""The sentences of a paragraph."""


class Sentence(NamedTuple):
    """One sentence, and the document that it is of.

    :param document: counted from 0 in each file.
    """

    document: int
    text: str


class Layout:
    """Base of the layouts: one file each, found by its name (``prepare --layout wikitext``).

    :param split: the sentences of a paragraph of raw text, by a library.
    :param rows_are_documents: whether what comes as a line is all of a document, as a row of a
        table is.
    """

    def __init__(self, split: Splitter, rows_are_documents: bool = False) -> None:
        self.split = split
        self.rows_are_documents = rows_are_documents
        self.headings = 0
        """Headings that were left out."""

    def sentences(self, lines: Iterable[str]) -> Iterator[Sentence]:
        """The sentences in their order."""
        raise NotImplementedError(f"{type(self).__name__} does not define sentences")
