# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A lock file that one process at a time holds, and that names it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder.files import is_running, not_through_links

_HELD = (errno.EAGAIN, errno.EACCES)


@contextmanager
def one_writer(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file while ``what`` is written; it is removed afterwards.

    The system lets go of it when its process ends, however that ends: the file of a killed process
    is taken over. Where the file system has no locks, the process and host in the file decide.

    :param path: of the lock file; its folder exists.
    :param what: what is written, for the error.
    :raises UserError: when another process holds it, which is named.
    """
    file = _take(path, what)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _take(path: Path, what: str) -> TextIO:
    while True:
        file = open(path, "a+", encoding="utf-8", opener=not_through_links)
        try:
            file.seek(0)
            pid, host = _owner(file.read())
            if not _lock(file, pid, host):
                raise UserError(
                    f"{what} is being written by process {pid} on {host}: wait until that is done, "
                    f"or stop it; if it does not run any more, remove {path}"
                )
            if _is_at(file, path):
                file.truncate(0)
                json.dump({"process": os.getpid(), "host": platform.node()}, file)
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        # The last holder removed it between the opening and the lock.
        file.close()


def _lock(file: TextIO, pid: int | None, host: str) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        # No locks on this file system: another host's process cannot be asked after.
        return pid is None or (host == platform.node() and not is_running(pid))
    return True


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _owner(text: str) -> tuple[int | None, str]:
    """Process and host that a lock file names; no process where it names none."""
    try:
        owner = json.loads(text)
        return int(owner["process"]), str(owner["host"])
    except (ValueError, KeyError, TypeError):
        return None, "this machine"
