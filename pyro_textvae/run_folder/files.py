# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Writing files so that a kill at any moment leaves the old one or the new one."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyro_textvae.errors import UserError

UNFINISHED = "unfinished-"
"""How the names of files and folders begin that are not yet what they are to be."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it to ``path``.

    Temporary files of killed processes for the same ``path`` are removed.

    :param write: is called with the path of the temporary file.
    :raises UserError: where the disk is full or does not let itself be written. What was at
        ``path`` is still there.
    """
    temporary = unfinished(path)
    with named_failures(path):
        remove_unfinished(path.parent, path.name)
        try:
            # Some writers make a file of their own that the user alone can read.
            temporary.touch()
            mode = stat.S_IMODE(temporary.stat().st_mode)
            write(temporary)
            temporary.chmod(mode)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Where this process makes what is to be ``path``."""
    return path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")


def remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left unfinished in a folder.

    :param name: of the file that was to be; by default any.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        left = re.fullmatch(rf"{UNFINISHED}(\d+)-(.+)", path.name, re.DOTALL)
        if left is None or name not in (None, left[2]) or is_running(int(left[1])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether a process of this number runs on this host."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def named_failures(path: Path) -> Iterator[None]:
    """Say in one line why ``path`` cannot be written, whatever the writer raises.

    :raises UserError: in place of an error of the file system.
    """
    try:
        yield
    except Exception as error:
        reason = _failure_of_file_system(error)
        if reason is None:
            raise
        raise UserError(
            f"cannot write {path}: {reason}; make room or give rights there, then go on from what "
            "was written before"
        ) from error


def _failure_of_file_system(error: BaseException | None) -> str | None:
    """What the system says in an error or what it was raised from; None for another's."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or str(error)
        if said := re.search(r"([^:]+) \(os error \d+\)", str(error)):  # safetensors
            return said[1].strip()
        error = error.__cause__ or error.__context__
    return None


def not_through_links(path: str, flags: int) -> int:
    """An ``opener`` for files that are added to: in a run from elsewhere a link could lead to any.

    :raises UserError: for a link, and for a pipe or a device.
    """
    advice = "remove it, for a run has a file of its own there"
    try:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if os.path.islink(path):
            raise UserError(f"{path} is a link: {advice}") from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise UserError(f"{path} is a pipe or a device: {advice}")
    return number


def refuse_link(folder: Path) -> None:
    """Refuse a folder of a run's that leads elsewhere, before anything is written into it.

    :raises UserError: for a link.
    """
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a link, and what it leads to is not the run's: put the folder itself "
            "there, or remove it"
        )


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to one place, which need not exist; links in a circle lead nowhere.

    >>> same_place(Path("run/../a.json"), Path("a.json"))
    True
    """
    return os.path.realpath(one) == os.path.realpath(other)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically, in UTF-8."""
    write_atomically(path, lambda temporary: _put(temporary, text))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically."""

    def put(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomically(path, put)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, readable by a person."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def plain_json(value: Any) -> Any:
    """The value with None for infinities and NaN, which JSON does not have.

    >>> plain_json({"nll": float("nan"), "curve": (1.5, float("inf"))})
    {'nll': None, 'curve': [1.5, None]}
    """
    if isinstance(value, dict):
        return {name: plain_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
