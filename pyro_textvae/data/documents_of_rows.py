# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents in files: a list of sentences in one row, or neighbouring rows of one document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from pyro_textvae.errors import UserError


class FileRow(NamedTuple):
    """One row of a file; one whose text is empty is a blank line.

    :param number: of its line; of a document, of the first one.
    :param text: a sentence; of a document, its sentences with a line end between.
    :param document: which document a sentence is of, where a column says so.
    :param sentences: those of a document.
    """

    number: int
    text: str
    source: str | None = None
    label: str | None = None
    columns: dict[str, str] = {}
    has_label_column: bool = False
    document: str | None = None
    sentences: tuple[str, ...] | None = None


def sentences_of(value: list[Any], place: str) -> tuple[str, ...]:
    """The sentences of a document, without space around them.

    >>> sentences_of(["he came .", " he went . "], "line 1")
    ('he came .', 'he went .')

    :param place: where it stands, for messages.
    :raises UserError: for none, and for one that is no text or is empty.
    """
    if not value:
        raise UserError(f"{place} holds a document without a sentence; leave it out")
    for number, sentence in enumerate(value, 1):
        if not isinstance(sentence, str):
            raise UserError(f"{place}: sentence {number} is {sentence!r}, not a string")
        if not sentence.strip():
            raise UserError(f"{place}: sentence {number} is empty; leave it out")
    return tuple(sentence.strip() for sentence in value)


def documents_of(
    rows: Iterable[FileRow], column: str, place_of: Callable[[int], str]
) -> Iterator[FileRow]:
    """One row for the neighbouring rows of each document; blank lines come through.

    A further column whose cells differ within a document has them with a bar between.

    :param column: the name of the column that says which document a row is of.
    :param place_of: where a line stands, for messages.
    :raises UserError: for a row that names no document, or one that ended before; for an empty
        sentence; and for rows of one document with several sources or labels.
    """
    ended: set[str] = set()
    part: list[FileRow] = []
    for row in rows:
        if row.document is None:
            yield row
            continue
        place = place_of(row.number)
        if not row.document.strip():
            raise UserError(f"{place} names no document: its {column!r} is empty; fill it in")
        if part and part[0].document != row.document:
            yield _joined(part, place_of)
            ended.add(str(part[0].document))
            part = []
        if row.document in ended:
            raise UserError(
                f"{place} is of the document {row.document!r}, whose rows ended before; put all "
                "rows of a document next to each other"
            )
        part.append(row)
    if part:
        yield _joined(part, place_of)


def _joined(part: list[FileRow], place_of: Callable[[int], str]) -> FileRow:
    first = part[0]
    for row in part:
        if not row.text.strip():
            raise UserError(f"{place_of(row.number)} has an empty sentence; leave it out")
        if row.source != first.source:
            raise UserError(
                f"{place_of(row.number)} has another source than line {first.number} of the same "
                f"document {first.document!r}; give all of its rows the same"
            )
        if (row.label or "").strip() != (first.label or "").strip():
            raise UserError(
                f"{place_of(row.number)} has the label {row.label!r}, and line {first.number} of "
                f"the same document {first.document!r} has {first.label!r}; give all of its rows "
                "the same"
            )
    columns = {name: [row.columns.get(name, "") for row in part] for name in first.columns}
    sentences = tuple(row.text.strip() for row in part)
    return first._replace(
        text="\n".join(sentences),
        sentences=sentences,
        columns={
            name: cells[0] if len(set(cells)) == 1 else " | ".join(cells)
            for name, cells in columns.items()
        },
    )
