# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Raw text in paragraphs: a book, an article, a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyro_textvae.data.layout import Layout, Sentence

_FIRST = re.compile(r"\*\*\* ?START OF (THE|THIS) PROJECT GUTENBERG", re.IGNORECASE)
_LAST = re.compile(r"\*\*\* ?END OF (THE|THIS) PROJECT GUTENBERG", re.IGNORECASE)
_LOOKED_AT = 500
"""Lines in which the licence before a book of Project Gutenberg ends, if it has one."""
# Between these there is no space where a line is broken.
_UNSPACED = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


class PlainDocuments(Layout):
    """A file is a document, or a row of a table is; blank lines stand between paragraphs.

    Lines broken within a paragraph are joined, in Chinese without a space. Of a book of Project
    Gutenberg the licence before and after it is left out. Sentences are those of a library
    (sentencex), which needs no download.

    >>> layout = PlainDocuments(lambda text: text.split(". "))
    >>> [sentence.text for sentence in layout.sentences(["A cat", "sat. It purred", "", "So"])]
    ['A cat sat', 'It purred', 'So']
    """

    def sentences(self, lines: Iterable[str]) -> Iterator[Sentence]:
        """The sentences of all paragraphs."""
        if not self.rows_are_documents:
            yield from self._of_document(0, _without_licence(lines))
            return
        for document, text in enumerate(lines):
            yield from self._of_document(document, text.splitlines())

    def _of_document(self, document: int, lines: Iterable[str]) -> Iterator[Sentence]:
        for paragraph in _paragraphs(lines):
            for sentence in self.split(paragraph):
                text = " ".join(sentence.split())
                if text:
                    yield Sentence(document, text)


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    paragraph = ""
    for line in lines:
        text = line.strip()
        if not text:
            if paragraph:
                yield paragraph
            paragraph = ""
            continue
        is_unspaced = paragraph and _UNSPACED.match(paragraph[-1]) and _UNSPACED.match(text[0])
        paragraph += ("" if is_unspaced or not paragraph else " ") + text
    if paragraph:
        yield paragraph


def _without_licence(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a book alone."""
    before: list[str] | None = []
    for line in lines:
        if _LAST.search(line):
            return
        if before is None:
            yield line
        elif _FIRST.search(line):
            before = None
        else:
            before.append(line)
            if len(before) > _LOOKED_AT:
                yield from before
                before = None
    yield from before or ()
