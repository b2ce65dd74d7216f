# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a command takes that makes a file of another by a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pyro_textvae.cli.output import check_apart_from_runs
from pyro_textvae.cli.parsing import parse
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from pyro_textvae.data import Tokenizer


@dataclass
class FileOptions:
    """A run, the file that is read, and the file that is written.

    Args:
        run: folder made by train.
        file: the file to read.
        out: the file to write; by default the name of the other with .tvae, or without it.
        overwrite: replace the file that is already there.
        trust_code: execute code of your own that a run of somebody else names; see SECURITY.md.

    """

    run: str = ""
    file: str = ""
    out: str | None = None
    overwrite: bool = False
    trust_code: bool = False


Options = TypeVar("Options", bound=FileOptions)


def parse_with_file(cls: type[Options], command: str, arguments: Sequence[str]) -> Options:
    """Read the settings of a command whose run and file may come first, without flags.

    :raises UserError: when there is no run or no file among them.
    """
    given = ["--out" if argument == "-o" else argument for argument in arguments]
    for place, name in ((0, "--run"), (2, "--file")):
        if len(given) > place and not given[place].startswith("-"):
            given[place:place] = [name]
        else:
            break
    options, _ = parse(cls, command, given)
    if not (options.run and options.file):
        missing = "a file" if options.run else "a run folder and a file"
        raise UserError(f"{command} needs {missing}: pyro-textvae {command} RUN FILE")
    return options


@dataclass(frozen=True)
class CodingRun:
    """What codes a file: the programs of a run, and the hash of the weights that they have."""

    model: nn.Module
    guide: nn.Module
    tokenizer: Tokenizer
    weights_sha256: str
    weights_bytes: int


def load_coding_run(options: FileOptions) -> CodingRun:
    """The run of a command, and the hash of the very file that its weights were read from.

    :raises UserError: when it is no run, a file is damaged, or it names code that is not trusted.
    """
    from pyro_textvae.run_folder import RunFolder
    from pyro_textvae.run_folder.weights_hash import load_with_hash
    from pyro_textvae.runs import load_run

    folder = RunFolder.of(options.run)
    parts, weights = load_with_hash(folder, lambda: load_run(folder, trust_code=options.trust_code))
    return CodingRun(*parts, str(weights), folder.weights.stat().st_size)


def read_file(path: str) -> bytes:
    """The bytes of a file.

    :raises UserError: where it cannot be read.
    """
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def file_to_write(out: str, run: str, *, overwrite: bool) -> Path:
    """Where a command writes.

    :raises UserError: where there is a file already, where the run has one, and where none can be
        written.
    """
    path = Path(out).expanduser()
    check_apart_from_runs(path, run)
    if path.exists() and not overwrite:
        raise UserError(f"{out} exists: give another --out, or --overwrite to replace it")
    return path
