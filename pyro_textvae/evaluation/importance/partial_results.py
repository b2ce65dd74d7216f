# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Finished sentences, kept in a file, so that a stopped evaluation can go on."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.processes import rank_and_size
from pyro_textvae.run_folder.files import not_through_links
from pyro_textvae.run_folder.one_writer import one_writer


class PartialResults:
    """Rows of finished sentences, one JSON object a line, in a file of each process.

    A line is there whole or it is not counted. Another evaluation (another model, seed, proposal or
    number of draws) has files of its own, and its rows are not taken wherever they stand.

    :param path: the file's name; the evaluation's short name and the process's number are added.
    :param identity: what the rows depend on besides the sentence.
    """

    def __init__(self, path: str | Path, identity: str) -> None:
        self._path = Path(path)
        self._evaluation = _short(identity)
        rank, _ = rank_and_size()
        self._own = self._path.with_name(f"{self._path.name}.{self._evaluation}.{rank}")
        self._identity = identity
        self._rows: dict[int, dict[str, Any]] = {}
        for file in self._files():
            self._rows |= self._read(file)
        if not self._read_header(self._own):
            with open(self._own, "w", encoding="utf-8", opener=not_through_links) as own:
                own.write(json.dumps({"identity": identity}) + "\n")
        elif not self._own.read_bytes().endswith(b"\n"):
            with open(self._own, "a", encoding="utf-8", opener=not_through_links) as own:
                own.write("\n")

    def columns(self, keys: Sequence[int]) -> dict[str, Tensor] | None:
        """The rows of these sentences; None unless all are finished."""
        if any(key not in self._rows for key in keys):
            return None
        rows = [self._rows[key] for key in keys]
        return {
            name: torch.tensor([row[name] for row in rows], dtype=_dtype(rows[0][name]))
            for name in rows[0]
        }

    def add(self, keys: Sequence[int], columns: dict[str, Tensor]) -> None:
        """Keep the rows of finished sentences."""
        lists = {name: column.tolist() for name, column in columns.items()}
        lines = [
            json.dumps(
                {
                    "evaluation": self._evaluation,
                    "key": key,
                    **{name: values[row] for name, values in lists.items()},
                }
            )
            for row, key in enumerate(keys)
        ]
        with open(self._own, "a", encoding="utf-8", opener=not_through_links) as file:
            file.write("".join(f"{line}\n" for line in lines))

    def _files(self) -> list[Path]:
        return _files_of(self._path, self._evaluation)

    def _read_header(self, file: Path) -> bool:
        try:
            with open(file, encoding="utf-8") as lines:
                return json.loads(lines.readline()) == {"identity": self._identity}
        except (OSError, ValueError):
            return False

    def _read(self, file: Path) -> dict[int, dict[str, Any]]:
        if not self._read_header(file):
            return {}
        rows = {}
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            try:
                row = json.loads(line)
            except ValueError:  # the last line of a process that was killed
                continue
            if row.pop("evaluation", None) == self._evaluation:
                rows[row.pop("key")] = row
        return rows


@contextmanager
def partial_results(
    path: str | Path | None, identity: str | None
) -> Iterator[PartialResults | None]:
    """The finished sentences of an evaluation, which no other process may add to meanwhile.

    :param path: as for :class:`PartialResults`; None for none.
    :raises UserError: when another process is making the same evaluation.
    """
    if path is None or identity is None:
        yield None
        return
    path, (rank, _) = Path(path), rank_and_size()
    lock = path.with_name(f"{path.name}.{_short(identity)}.lock-{rank}")
    with one_writer(lock, f"the same evaluation into {path}"):
        yield PartialResults(path, identity)


def remove_partial_results(path: str | Path, identity: str) -> None:
    """Delete the finished sentences of an evaluation that is over, and of no other."""
    for file in _files_of(Path(path), _short(identity)):
        file.unlink(missing_ok=True)


def _files_of(path: Path, evaluation: str) -> list[Path]:
    return sorted(path.parent.glob(f"{glob.escape(f'{path.name}.{evaluation}')}.[0-9]*"))


def _short(identity: str) -> str:
    """A name for an evaluation, fit for a file's."""
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _dtype(value: Any) -> torch.dtype:
    while isinstance(value, list) and value:
        value = value[0]
    return torch.long if isinstance(value, int) else torch.float64
