# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Rows of Arrow's record batches, which Parquet files and data sets are read as."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import ColumnNames, no_column
from pyro_textvae.data.object_rows import object_row
from pyro_textvae.errors import UserError

ROWS_AT_ONCE = 1024


def arrow_module(name: str, what: str) -> Any:
    """A module of ``pyarrow``.

    :raises UserError: where it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"{what} needs pyarrow: pip install 'pyro-textvae[data]'") from None


@contextmanager
def plain_errors(file_name: str, kind: str) -> Iterator[None]:
    """What Arrow says of a file that it cannot read, in one line.

    :raises UserError: with the name of the file.
    """
    arrow = arrow_module("pyarrow", f"reading {file_name}")
    try:
        yield
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{file_name} is no {kind} file, or is cut short ({reason}); bring a whole copy of it"
        ) from None


def refuse_missing_columns(names: Sequence[str], columns: ColumnNames, place: str) -> None:
    """Refuse a table without the columns that were asked for, before a row of it is read.

    :param names: of the columns that there are.
    :raises UserError: with the first that is missing.
    """
    for setting, column in columns.asked_for.items():
        if column not in names:
            raise no_column(place, (column,), names, setting)


def arrow_rows(batches: Iterable[Any], columns: ColumnNames, name: str) -> Iterator[FileRow]:
    """The rows of some record batches, counted from 1.

    :param name: of the file, for messages.
    :raises UserError: as :func:`~pyro_textvae.data.object_rows.object_row`.
    """
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield object_row(row, columns, number, f"{name} row {number}")
