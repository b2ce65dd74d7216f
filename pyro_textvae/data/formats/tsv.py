# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Cells set apart by tabs."""

from __future__ import annotations

from collections.abc import Iterator

from pyro_textvae.data import tsv
from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import FileFormat
from pyro_textvae.data.table_rows import table_rows
from pyro_textvae.data.tsv import Quotes


class TabSeparated(FileFormat):
    """One row a line, with single tabs between cells, in quotes or not as ``quotes`` says.

    The first row is a header where it holds one of the columns that are asked for (or ``text`` or
    ``sentence``); without a header the columns are ``column_0``, ``column_1``, ... and the text is
    ``column_0``.
    """

    def rows(self, file: DataFile) -> Iterator[FileRow]:
        """The rows after the header."""
        quotes = self.columns.quotes or self._quotes_of(file)
        cells = ((number, cells) for number, cells, _ in tsv.rows(file, quotes))
        return table_rows(cells, self.columns, file.name, "single tabs", self.warn)

    def _quotes_of(self, file: DataFile) -> Quotes:
        """What a quote is in a file for which that is not set."""
        line = tsv.first_quoted_line(file)
        if line is None:
            return "literal"
        self.warn(
            f"{file.name} line {line} has a cell in quotes, as pandas writes it, and so in all of "
            "the file quotes around cells are taken off: set quotes to csv if that is right, or to "
            "literal where a quote is a character"
        )
        return "csv"
