# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Cells of a table of text, in columns of one width."""

from __future__ import annotations

from collections.abc import Sequence


def padded(rows: Sequence[Sequence[str]], sides: str) -> list[list[str]]:
    """The cells, padded to the width of their columns.

    :param sides: for each column ``<`` or ``>``: aligned left or right.

    >>> padded([("run", "nll"), ("a", "56.806")], "<>")
    [['run', '   nll'], ['a  ', '56.806']]
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        [f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)]
        for row in rows
    ]


def number(value: float | None, digits: int = 3) -> str:
    """A number with ``digits`` after the point; a dash for None.

    >>> number(1.25, 1), number(None)
    ('1.2', '-')
    """
    return "-" if value is None else f"{value:.{digits}f}"
