# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Arrow's files and streams, as ``datasets`` keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyro_textvae.data.arrow_rows import (
    arrow_module,
    arrow_rows,
    plain_errors,
    refuse_missing_columns,
)
from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import FileFormat

_MARK = b"ARROW1"
"""What a file begins with that is no stream."""


class Arrow(FileFormat):
    """A table of Arrow, a file or a stream, whose content is mapped into memory."""

    def rows(self, file: DataFile) -> Iterator[FileRow]:
        """The rows in their order."""
        arrow = arrow_module("pyarrow", f"reading {file.name}")
        with file.plain() as path, plain_errors(file.name, "Arrow"):
            with path.open("rb") as content:
                is_file = content.read(len(_MARK)) == _MARK
            with arrow.memory_map(str(path)) as mapped:
                opened = arrow.ipc.open_file if is_file else arrow.ipc.open_stream
                with opened(mapped) as table:
                    refuse_missing_columns(table.schema.names, self.columns, file.name)
                    yield from arrow_rows(_batches(table), self.columns, file.name)


def _batches(table: Any) -> Iterator[Any]:
    if hasattr(table, "num_record_batches"):
        yield from map(table.get_batch, range(table.num_record_batches))
    else:
        yield from table
