# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The rows of a TSV, with quotes that stand around cells, or with quotes that are characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.text_lines import LONGEST_LINE_BYTES, lines
from pyro_textvae.errors import UserError

Quotes = Literal["csv", "literal"]
QUOTES: tuple[Quotes, ...] = ("csv", "literal")

# A cell in quotes, in which each quote is doubled, or one without any.
_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^"\t]*))(\t|\Z)')
_NEEDS_QUOTES = re.compile('["\t\n]')


class Row(NamedTuple):
    """One row; one without cells is a blank line.

    :param number: of its first line.
    :param cells: without the quotes around them.
    :param num_quoted: of the cells that stood in quotes.
    """

    number: int
    cells: list[str]
    num_quoted: int = 0


def rows(path: Path | DataFile, quotes: Quotes) -> Iterator[Row]:
    """The rows of a file.

    :param quotes: ``literal`` where a quote is a character like others, as in the files of GLUE;
        ``csv`` where a cell with a quote, a tab or a line break stands in quotes, its own quotes
        doubled, as pandas and RFC 4180 write it.
    :raises UserError: naming file and line, for what cannot be read so.
    """
    return _quoted_rows(path) if quotes == "csv" else _literal_rows(path)


def first_quoted_line(path: Path | DataFile) -> int | None:
    r"""The first line with a cell in quotes, of a file written as pandas does; None for another.

    In such a file every quote is that of a cell in quotes, each row has as many cells, and quotes
    stand around a cell that needs them, or around all cells of the first row.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "rows.tsv"
    >>> _ = file.write_text('text\tlabel\n"say ""a"" now"\t1\n')
    >>> first_quoted_line(file)
    2
    >>> _ = file.write_text('text\tlabel\n"say ""a"" now"\t1\nsay "b" now\t0\n')
    >>> first_quoted_line(file)

    :raises UserError: for what is no text.
    """
    num_columns, first, needed = 0, None, False
    try:
        for row in _quoted_rows(path):
            if not row.cells:
                continue
            if not num_columns:
                num_columns = len(row.cells)
                needed = row.num_quoted == num_columns > 1
            if len(row.cells) != num_columns:
                return None
            if row.num_quoted:
                first = first or row.number
                needed = needed or any(map(_NEEDS_QUOTES.search, row.cells))
    except _MalformedQuotesError:
        return None
    return first if needed else None


class _MalformedQuotesError(UserError):
    """A row whose quotes are not those of cells in quotes."""


def _literal_rows(path: Path | DataFile) -> Iterator[Row]:
    for number, line in lines(path):
        yield Row(number, line.split("\t") if line.strip() else [])


def _quoted_rows(path: Path | DataFile) -> Iterator[Row]:
    parts: list[str] = []
    first = size = 0
    for number, line in lines(path):
        if not parts and not line.strip():
            yield Row(number, [])
            continue
        first = first if parts else number
        parts.append(line)
        size += len(line)
        is_open = (len(parts) > 1) != bool(line.count('"') % 2)
        if is_open and size <= LONGEST_LINE_BYTES:
            continue
        yield _row(path, first, "\n".join(parts))
        parts, size = [], 0
    if parts:
        yield _row(path, first, "\n".join(parts))


def _row(path: Path | DataFile, number: int, text: str) -> Row:
    if '"' not in text:
        return Row(number, text.split("\t"))
    cells, num_quoted, place, tab = [], 0, 0, "\t"
    while tab:
        cell = _CELL.match(text, place)
        if cell is None:
            raise _MalformedQuotesError(
                f"{path.name} line {number} has a quote that is not one of a cell in quotes: double"
                " it and put the cell in quotes, as pandas does, or set quotes to literal where a "
                "quote is a character"
            )
        quoted, plain, tab = cell.groups()
        num_quoted += quoted is not None
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        place = cell.end()
    return Row(number, cells, num_quoted)
