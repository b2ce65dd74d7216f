# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Plain text, one sentence a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import FileFormat
from pyro_textvae.data.text_lines import lines


class PlainText(FileFormat):
    r"""One sentence a line.

    Lines end at ``\n`` or ``\r\n`` only, and at ``\r`` in a file without ``\n``.
    """

    has_columns: ClassVar[bool] = False

    def rows(self, file: DataFile) -> Iterator[FileRow]:
        """A row a line."""
        for number, line in lines(file):
            yield FileRow(number, line)
