# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the first column of a table, taken for the text for want of a name, looks like text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SHORT_NUMBER = re.compile(r"[+-]?[0-9]{0,9}[.,]?[0-9]{1,9}")
_NUMBERED_NAME = re.compile(r"(?=\S*[0-9])\S{1,40}")
_LONGEST_LABEL = 30
_MOST_LABELS = 50
_ROWS_PER_LABEL = 2


class GuessedColumn:
    """What the first column holds, row by row.

    >>> column = GuessedColumn()
    >>> for cells in (["pos", "a fine film"], ["neg", "dull"], ["pos", "so so"], ["neg", "no"]):
    ...     column.add(cells)
    >>> column.doubt()
    'few short values, as of a label'
    """

    def __init__(self) -> None:
        self._num_rows = 0
        self._num_numeric = 0
        self._num_named = 0
        self._lengths = [0, 0]
        self._values: set[str] | None = set()

    def add(self, cells: Sequence[str]) -> None:
        """Look at one row of two cells or more."""
        first = cells[0].strip()
        self._num_rows += 1
        self._num_numeric += bool(_SHORT_NUMBER.fullmatch(first))
        self._num_named += bool(_NUMBERED_NAME.fullmatch(first))
        self._lengths[0] += len(first)
        self._lengths[1] += max(map(len, cells[1:]))
        if self._values is not None:
            self._values.add(first)
            if len(self._values) > _MOST_LABELS or len(first) > _LONGEST_LABEL:
                self._values = None

    def doubt(self) -> str | None:
        """What it holds instead of text; None where it may be text."""
        if not self._num_rows:
            return None
        if self._num_numeric == self._num_rows:
            return "numbers alone"
        if self._lengths[1] <= self._lengths[0]:
            return None
        if self._num_named == self._num_rows:
            return "names with numbers alone, as of a row"
        if self._values is None or len(self._values) * _ROWS_PER_LABEL > self._num_rows:
            return None
        return "few short values, as of a label"
