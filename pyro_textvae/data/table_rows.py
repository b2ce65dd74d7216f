# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Rows of cells, with or without the names of the columns in the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import ColumnNames, no_column
from pyro_textvae.data.guessed_column import GuessedColumn
from pyro_textvae.errors import UserError


def table_rows(
    rows: Iterable[tuple[int, list[str]]],
    columns: ColumnNames,
    file_name: str,
    separator: str,
    warn: Callable[[str], None],
) -> Iterator[FileRow]:
    """The rows of a table, after its header where it has one.

    :param rows: number and cells; no cells for a blank line.
    :param separator: what stands between cells, for messages.
    :param warn: is told where the column of the text is a guess that looks wrong.
    :raises UserError: for a row with another number of cells than the first, and for a column that
        there is not.
    """
    names: list[str] = []
    text_name = ""
    # The first row may be a header whose names are not those that are looked for.
    guessed: GuessedColumn | None = None
    for number, cells in rows:
        if not cells:
            yield FileRow(number, "")
            continue
        if not names:
            place = f"{file_name} line {number}"
            names, text_name, is_header = _read_first_row(cells, columns, place)
            if is_header:
                continue
            if columns.text is None and len(names) > 1:
                guessed = GuessedColumn()
        elif guessed is not None and len(cells) == len(names):
            guessed.add(cells)
        if len(cells) != len(names):
            raise UserError(
                f"{file_name} line {number} has {len(cells)} columns where the first row has"
                f" {len(names)}; give every row as many, set apart by {separator}"
            )
        by_name = dict(zip(names, cells, strict=True))
        text = by_name.pop(text_name)
        source = by_name.pop(columns.source) if columns.source else None
        label = by_name.pop(columns.label) if columns.label else None
        document = by_name.pop(columns.document) if columns.document else None
        has_label_column = columns.label is not None
        yield FileRow(number, text, source, label, by_name, has_label_column, document)
    doubt = None if guessed is None else guessed.doubt()
    if doubt is not None:
        warn(
            f"{file_name} names no column text or sentence in its first row, so its first "
            f"column is taken for the text, and that holds {doubt}: set text_column to a name "
            "in the first row, or to column_1 and so on"
        )


def _read_first_row(
    cells: list[str], columns: ColumnNames, place: str
) -> tuple[list[str], str, bool]:
    """The names of the columns, that of the text, and whether this row is a header."""
    wanted = columns.wanted
    is_header = not {*wanted, *columns.asked_for.values()}.isdisjoint(cells)
    names = cells if is_header else [f"column_{index}" for index in range(len(cells))]
    if len(set(names)) < len(names):
        raise UserError(f"{place} names a column twice; rename one")
    if not is_header and columns.text is None:
        wanted = ("column_0",)
    text_name = next((name for name in wanted if name in names), None)
    if text_name is None:
        raise no_column(place, wanted, names, "text_column")
    for setting, column in columns.asked_for.items():
        if column not in names:
            raise no_column(place, (column,), names, setting)
    columns.refuse_shared(text_name)
    return names, text_name, is_header
