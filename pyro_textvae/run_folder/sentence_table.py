# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of single sentences that an evaluation keeps, one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder.files import write_text
from pyro_textvae.units import UNITS

_INDEX = "index"


def sentence_table_path(evaluation: str | Path) -> Path:
    """The file beside an evaluation that holds the numbers of its sentences.

    >>> sentence_table_path("runs/a/evaluation.json").as_posix()
    'runs/a/evaluation.sentences.jsonl'
    """
    return Path(evaluation).with_suffix(".sentences.jsonl")


def write_sentence_table(
    path: str | Path, evaluation_id: str, columns: Mapping[str, Tensor]
) -> None:
    """Write a table whole or not at all: a line that says what it is, then a line a sentence.

    The index of a sentence in the corpus is written as ``index``. NaN and infinities are written
    as null: JSON has neither. Truth values are written as 0 and 1.

    :param evaluation_id: of the evaluation that the table belongs to.
    :param columns: numbers in corpus order, each of shape ``(N,)``.
    :raises ValueError: for columns of unequal length, or one that is named ``index``.
    """
    if _INDEX in columns:
        raise ValueError(f"the column {_INDEX!r} is written by itself: leave it out")
    columns = {
        name: column.long() if column.dtype is torch.bool else column
        for name, column in columns.items()
    }
    shapes = {name: tuple(column.shape) for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"columns must be vectors of one length, got shapes {shapes}")
    names = [_INDEX, *columns]
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    header = {"evaluation": evaluation_id, "columns": names, "units": UNITS}
    lines = [json.dumps(header, ensure_ascii=False)]
    for index, row in enumerate(rows):
        values = (index, *(value if math.isfinite(value) else None for value in row))
        lines.append(json.dumps(dict(zip(names, values, strict=True))))
    write_text(Path(path), "\n".join(lines) + "\n")


def read_sentence_table(path: str | Path) -> tuple[str, dict[str, Tensor]]:
    """Read a table back.

    :returns: the id of its evaluation, and its columns ``(N,)`` by name: int64 where all numbers
        are whole, otherwise float64 with NaN for null.
    :raises UserError: with the number of the line, for a table that is damaged.
    """
    path = Path(path)
    header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    evaluation_id, names = _read_header(path, header)
    if not lines:
        raise _damaged(path, 1, "no sentence follows")
    rows = [_read_row(path, number, line, names) for number, line in enumerate(lines, 2)]
    columns = {}
    for name in names[1:]:
        values = [row[name] for row in rows]
        whole = all(isinstance(value, int) for value in values)
        columns[name] = (
            torch.tensor(values, dtype=torch.int64)
            if whole
            else torch.tensor(
                [math.nan if value is None else value for value in values], dtype=torch.float64
            )
        )
    return evaluation_id, columns


def _read_header(path: Path, line: bytes) -> tuple[str, list[str]]:
    header = _read_object(path, 1, line)
    names = header.get("columns")
    if not isinstance(header.get("evaluation"), str):
        raise _damaged(path, 1, "it names no evaluation")
    if not isinstance(names, list) or names[:1] != [_INDEX] or len(names) < 2:
        raise _damaged(path, 1, f"its columns are {names}, not {_INDEX!r} and others")
    if header.get("units") != UNITS:
        raise _damaged(path, 1, f"its units are {header.get('units')!r}, not {UNITS!r}")
    return header["evaluation"], names


def _read_row(path: Path, number: int, line: bytes, names: list[str]) -> dict[str, Any]:
    row = _read_object(path, number, line)
    if list(row) != names:
        raise _damaged(path, number, f"it holds {list(row)}, not {names}")
    if row[_INDEX] != number - 2:
        raise _damaged(path, number, f"its index is {row[_INDEX]}, not {number - 2}")
    for name, value in row.items():
        if value is not None and type(value) not in (int, float):
            raise _damaged(path, number, f"{name} is {value!r}, not a number")
    return row


def _read_object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise _damaged(path, number, "not JSON") from error
    if not isinstance(value, dict):
        raise _damaged(path, number, "not a JSON object")
    return value


def _damaged(path: Path, number: int, reason: str) -> UserError:
    return UserError(f"{path} is damaged in line {number} ({reason}): evaluate the run again")
