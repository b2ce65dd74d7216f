# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Parquet, read a few rows at once."""

from __future__ import annotations

from collections.abc import Iterator

from pyro_textvae.data.arrow_rows import (
    ROWS_AT_ONCE,
    arrow_module,
    arrow_rows,
    plain_errors,
    refuse_missing_columns,
)
from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import FileFormat


class Parquet(FileFormat):
    """A table of Parquet: its text a column of strings, or of lists of strings for documents."""

    def rows(self, file: DataFile) -> Iterator[FileRow]:
        """The rows in their order."""
        parquet = arrow_module("pyarrow.parquet", f"reading {file.name}")
        with file.plain() as path, plain_errors(file.name, "Parquet"):
            with parquet.ParquetFile(path) as table:
                refuse_missing_columns(table.schema_arrow.names, self.columns, file.name)
                batches = table.iter_batches(batch_size=ROWS_AT_ONCE)
                yield from arrow_rows(batches, self.columns, file.name)
