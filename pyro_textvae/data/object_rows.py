# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Rows whose values have names and types: objects of JSON, rows of Parquet and Arrow."""

from __future__ import annotations

import json
import re
from typing import Any

from pyro_textvae.data.documents_of_rows import FileRow, sentences_of
from pyro_textvae.data.file_format import ColumnNames, no_column
from pyro_textvae.data.turns import join_turns
from pyro_textvae.errors import UserError

_USUAL_DOCUMENT_COLUMNS = ("sentences", "turns")
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


def object_row(row: dict[str, Any], columns: ColumnNames, number: int, place: str) -> FileRow:
    """The text of a row, and what stands beside it.

    :param row: its values by name, which are taken out of it.
    :param number: of the row, or of its line.
    :param place: where it stands, for messages.
    :raises UserError: for a column that there is not, and a text that is no string.
    """
    names = columns.wanted if columns.text else (*columns.wanted, *_USUAL_DOCUMENT_COLUMNS)
    text_name = next((name for name in names if name in row), None)
    if text_name is None:
        raise no_column(place, columns.wanted, list(row), "text_column")
    columns.refuse_shared(text_name)
    if columns.source and columns.source not in row:
        raise no_column(place, (columns.source,), list(row), "source_column")
    text, sentences = _text(row, text_name, place)
    source = _source(row, columns.source, place) if columns.source else None
    has_label_column = columns.label in row
    label = _label(row, columns.label, place) if columns.label else None
    document = _document(row, columns, sentences, place)
    beside = {name: _as_text(value) for name, value in row.items()}
    return FileRow(number, text, source, label, beside, has_label_column, document, sentences)


def _document(
    row: dict[str, Any], columns: ColumnNames, sentences: tuple[str, ...] | None, place: str
) -> str | None:
    if columns.document is None:
        return None
    if sentences is not None:
        raise UserError(
            f"{place} holds a list of sentences, and document_column={columns.document!r} "
            "is for one sentence a row; leave it out"
        )
    if columns.document not in row:
        raise no_column(place, (columns.document,), list(row), "document_column")
    return _as_text(row.pop(columns.document))


def _string(row: dict[str, Any], name: str, place: str) -> str:
    value = row.pop(name)
    if not isinstance(value, str):
        raise UserError(f"{place}: {name!r} is {value!r}, not a string")
    if _HALF_SURROGATE.search(value):
        raise UserError(
            f"{place} holds half of a surrogate pair, which is not Unicode; fix its \\u escapes"
        )
    return value


def _text(row: dict[str, Any], name: str, place: str) -> tuple[str, tuple[str, ...] | None]:
    """The text of a row, and the sentences of a document, where it is one."""
    if not isinstance(row[name], list):
        return _string(row, name, place), None
    sentences = sentences_of(row[name], place)
    row[name] = "\n".join(sentences)
    return _string(row, name, place), sentences


def _source(row: dict[str, Any], name: str, place: str) -> str:
    turns = row.get(name)
    if not isinstance(turns, list):
        return _string(row, name, place)
    row[name] = join_turns(turns, place)
    return _string(row, name, place)


def _label(row: dict[str, Any], name: str, place: str) -> str | None:
    value = row.pop(name, None)
    if isinstance(value, list | dict):
        raise UserError(
            f"{place}: the label {name!r} is {value!r}; it must be a string, a number or a boolean"
        )
    return None if value is None else _as_text(value)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
