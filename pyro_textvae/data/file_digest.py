# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The hash of a file, which for a large one is kept for as long as the file stays as it is."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from pyro_textvae.data.cache_dir import default_cache_dir

LARGE = 2**24
"""Bytes; smaller files are read each time."""
_FOLDER = "digests"
_SECONDS = 2.0
"""How long ago a file must have been written, so that no later change has the same time."""


def file_digest(path: Path, *, is_finished: bool = False) -> str:
    """The SHA-256 of a file.

    Of a large file that has the same inode, size and time as when it was last read, it is known.

    :param is_finished: nobody writes the file any more, however new it is.
    :raises OSError: where it cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size < LARGE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        known = _place_of(status)
        with suppress(OSError, ValueError):
            digest = known.read_text(encoding="ascii")
            if len(digest) == 64:
                return digest
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        age = time.time() - status.st_mtime
        if (is_finished or age > _SECONDS) and _place_of(os.fstat(file.fileno())) == known:
            _write(known, digest)
    return digest


def _place_of(status: os.stat_result) -> Path:
    what = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return default_cache_dir() / _FOLDER / "-".join(map(str, what))


def _write(path: Path, text: str) -> None:
    """Keep it where there is room; else it is read once more."""
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="ascii")
        unfinished.replace(path)
