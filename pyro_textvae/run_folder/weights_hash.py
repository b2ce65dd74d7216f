# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which weights a result is of: the hash of the file of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyro_textvae.run_folder.folder import RunFolder

Loaded = TypeVar("Loaded")


def weights_hash(folder: RunFolder) -> str | None:
    """The SHA-256 of ``model.safetensors``, as ``sha256sum`` gives it; None where there is none."""
    try:
        with open(folder.weights, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def load_with_hash(folder: RunFolder, load: Callable[[], Loaded]) -> tuple[Loaded, str | None]:
    """What ``load`` makes of the file of weights, and the hash of the very file that it read.

    A run that is still training may write another one meanwhile; then it is loaded again.
    """
    while True:
        before = _version(folder.weights)
        loaded = load()
        digest = weights_hash(folder)
        if _version(folder.weights) == before:
            return loaded, digest


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
