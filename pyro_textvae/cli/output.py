# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where a command writes what it has made."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyro_textvae.errors import UserError


def check_folder_of(out: Path) -> None:
    """Refuse a file in a folder that there is not, before any work is done.

    :raises UserError: with the folder.
    """
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} into: make it first")


def check_beside_run(out: Path, of_run: Iterable[Path], *, is_in_run: bool = False) -> None:
    """Refuse a place where nothing can be written, or where the run itself is.

    :param of_run: files of the run that this command does not write.
    :param is_in_run: whether it is the place in the run's own folder that nobody has named.
    :raises UserError: with what is there.
    """
    from pyro_textvae.run_folder.files import same_place

    if any(same_place(out, path) for path in of_run):
        raise UserError(f"--out {out} is a file of the run itself: choose another name")
    if not is_in_run:
        check_folder_of(out)
    if out.is_dir():
        raise UserError(f"--out {out} is a folder: give the name of a file")


def check_apart_from_runs(out: Path, *runs: str) -> None:
    """Refuse a place where nothing can be written, or where a run has a file of any command.

    :raises UserError: with what is there.
    """
    from pyro_textvae.run_folder import RunFolder

    of_runs: list[Path] = []
    for folder in map(RunFolder, runs):
        of_runs += (*folder.of_training, folder.evaluation, folder.sentences, folder.generation)
    check_beside_run(out, of_runs)


def print_table(table: str, values: Any, *, as_json: bool) -> None:
    """Print a table, or what it shows as one JSON object, in which no number is NaN."""
    from pyro_textvae.run_folder.files import plain_json

    if not as_json:
        print(table)
        return
    print(json.dumps(plain_json(values), ensure_ascii=False, default=str))


def print_beside(line: str, *, as_json: bool) -> None:
    """Print a line for a person: on standard error where standard output is JSON."""
    print(line, file=sys.stderr if as_json else sys.stdout)


def write_or_print(out: Path | None, text: str) -> None:
    """Write text into a file, or to standard output where there is none."""
    from pyro_textvae.run_folder.files import write_text

    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
