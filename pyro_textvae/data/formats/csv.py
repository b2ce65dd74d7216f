# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Cells set apart by commas."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import FileFormat
from pyro_textvae.data.table_rows import table_rows
from pyro_textvae.data.text_lines import LONGEST_LINE_BYTES, lines
from pyro_textvae.errors import UserError


class CommaSeparated(FileFormat):
    """Rows as RFC 4180 has them: commas between cells, and quotes around those that need them.

    In quotes there may be commas, line breaks, and quotes that are doubled. The header is told as
    that of a .tsv.
    """

    def rows(self, file: DataFile) -> Iterator[FileRow]:
        """The rows after the header."""
        return table_rows(_cells(file), self.columns, file.name, "commas", self.warn)


def _cells(file: DataFile) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_LINE_BYTES)
    reader = csv.reader((f"{line}\n" for _, line in lines(file)), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{file.name} line {number} is no row of a CSV ({error}): double the quotes within "
                "a cell and put the cell in quotes, as pandas does"
            ) from None
        yield number, cells if any(cell.strip() for cell in cells) else []
