# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text from standard input, kept in a file, as a corpus is read twice and a run once more."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from pathlib import Path
from typing import BinaryIO

from pyro_textvae.data.cache_dir import default_cache_dir
from pyro_textvae.errors import UserError

STANDARD_INPUT = "-"
"""What names it as a corpus."""

_FOLDER = "texts"
_BLOCK = 2**20


def kept_standard_input(stream: BinaryIO | None = None) -> str:
    """Copy standard input into the user's cache, once for the same text; returns the file.

    :param stream: to read in its place.
    :raises UserError: where it is empty, and where there is no room.
    """
    stream = stream or sys.stdin.buffer
    folder = default_cache_dir().absolute() / _FOLDER
    unfinished = folder / f".{os.getpid()}-{secrets.token_hex(6)}"
    digest, size = hashlib.sha256(), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            while block := stream.read(_BLOCK):
                digest.update(block)
                file.write(block)
                size += len(block)
        if not size:
            raise UserError("standard input holds no text: give one sentence a line")
        kept = folder / digest.hexdigest()[:32] / "standard_input.txt"
        kept.parent.mkdir(exist_ok=True)
        unfinished.replace(kept)
    except OSError as error:
        raise UserError(
            f"cannot keep standard input in {str(folder)!r}: {error.strerror}; free space, or set "
            "PYRO_TEXTVAE_CACHE"
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return str(Path(kept))
