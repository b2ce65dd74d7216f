# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The cache of encoded corpora: one folder a key, complete or absent, safe under races."""

import atexit
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyro_textvae.data.cache_dir import default_cache_dir
from pyro_textvae.data.store import CHECKPOINT, read_sealed
from pyro_textvae.errors import UserError


def open_or_build(
    key: str, cache_dir: Path | None, build: Callable[[Path], None]
) -> tuple[Path, dict[str, Any]]:
    """The folder and description of an entry, built first where absent or damaged.

    Another process sees all of an entry or nothing. Where the cache cannot be written, the entry
    lives in a temporary folder until the process ends. A build that was killed or interrupted
    leaves its folder for the next one, which goes on where that has a checkpoint.

    :param key: the name of the entry.
    :param cache_dir: where entries are; None for the default.
    :param build: fills and seals a folder, which then takes its name in one step.
    :raises UserError: where there is no room, or the entry is removed meanwhile.
    """
    # Its files are opened when they are read, and the working folder may be another one then.
    final = (cache_dir or default_cache_dir()).absolute() / key
    meta = read_sealed(final, key)
    if meta is not None:
        return final, meta
    with _working_folder(final) as working:
        try:
            build(working)
        except OSError as error:
            _remove(working)
            raise UserError(
                f"cannot encode the corpus into {str(working)!r}: {error}; free space or set "
                "cache_dir"
            ) from None
        except BaseException as error:
            if isinstance(error, Exception) or not (working / CHECKPOINT).exists():
                _remove(working)
            raise
        folder = _publish(working, final, key)
    meta = read_sealed(folder, key)
    if meta is None:
        raise UserError(
            f"the cache entry {str(folder)!r} was removed while it was opened; try again"
        )
    return folder, meta


@contextmanager
def _working_folder(final: Path) -> Iterator[Path]:
    """A folder that no other process writes to: the one that a killed build left, or a new one."""
    unfinished = final.with_name(f".{final.name}-unfinished")
    lock = _locked(unfinished)
    if lock is None:
        yield _own_folder(final)
        return
    try:
        yield unfinished
    finally:
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """The descriptor of a folder that is this process's alone while it is open; None for none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have finished and renamed it in between.
        if os.path.samestat(os.fstat(lock), folder.stat()):
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _own_folder(final: Path) -> Path:
    working = final.with_name(f".{final.name}-{secrets.token_hex(6)}")
    try:
        working.mkdir(parents=True)
    except OSError:
        working = Path(tempfile.mkdtemp(prefix="pyro-textvae-"))
        atexit.register(_remove, working)
    return working


def _publish(working: Path, final: Path, key: str) -> Path:
    """Give the finished folder its name; returns where the entry is to be read."""
    for _ in range(3):
        try:
            os.replace(working, final)
            return final
        except OSError:
            if read_sealed(final, key) is not None:
                _remove(working)
                return final
        # A damaged entry, or a stray file, is in the way.
        damaged = working.with_name(working.name + "-damaged")
        try:
            os.replace(final, damaged)
        except OSError:
            continue
        _remove(damaged)
    atexit.register(_remove, working)
    return working


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
