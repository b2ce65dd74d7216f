# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.documents_of_rows import FileRow
from pyro_textvae.data.file_format import FileFormat
from pyro_textvae.data.object_rows import object_row
from pyro_textvae.data.text_lines import lines
from pyro_textvae.errors import UserError


class JSONLines(FileFormat):
    """One object a line: its text a string, or the sentences of a document as a list of strings.

    The text is under ``text`` or ``sentence``, or under ``sentences`` or ``turns``.
    """

    def rows(self, file: DataFile) -> Iterator[FileRow]:
        """A row an object."""
        for number, line in lines(file):
            if not line.strip():
                yield FileRow(number, "")
                continue
            place = f"{file.name} line {number}"
            yield object_row(_json_object(line, place), self.columns, number, place)


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{place} is not JSON ({error}); put one object a line") from None
    except ValueError as error:
        # Python takes no integer of thousands of digits.
        raise UserError(f"{place} holds a number that cannot be read: {error}") from None
    if not isinstance(row, dict):
        raise UserError(f"{place} is not a JSON object; put one a line")
    return row
