# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The file of compressed text: what its reader must know, the sentences, and the rest."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_textvae.errors import UserError

_BEGINNING = b"pyro-textvae archive 1\n"
_BLOCK = struct.Struct("<HI")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Archive:
    """Compressed text.

    header
        What its reader must have: the run, its tokenizer, the arithmetic, the coder's settings.
    blocks
        Of each block, in the order of the text, its sentences and the checksum of their ids.
    stack
        The words of the stack, uint32.
    beside
        What the sentences lose of the file, compressed.
    """

    header: Mapping[str, Any]
    blocks: tuple[tuple[int, int], ...]
    stack: np.ndarray
    beside: bytes

    def to_bytes(self) -> bytes:
        """The file; its last four bytes are the checksum of all others."""
        header = json.dumps(self.header, sort_keys=True, separators=(",", ":")).encode()
        blocks = b"".join(_BLOCK.pack(size, check) for size, check in self.blocks)
        parts = [header, blocks, self.stack.astype("<u4").tobytes(), self.beside]
        content = _BEGINNING + b"".join(_LENGTH.pack(len(part)) + part for part in parts)
        return content + _LENGTH.pack(zlib.crc32(content))

    @classmethod
    def from_bytes(cls, data: bytes) -> Archive:
        """Read what :meth:`to_bytes` made.

        >>> archive = Archive({"bits": 8}, ((2, 77),), np.array([1, 2], np.uint32), b"rest")
        >>> read = Archive.from_bytes(archive.to_bytes())
        >>> read.header, read.blocks, read.stack.tolist(), read.beside
        ({'bits': 8}, ((2, 77),), [1, 2], b'rest')

        :raises UserError: for what is no archive, and for one that is cut or changed.
        """
        if not data.startswith(_BEGINNING):
            raise UserError("it is not an archive that compress wrote")
        content, check = data[: -_LENGTH.size], data[-_LENGTH.size :]
        if len(content) < len(_BEGINNING) or _LENGTH.unpack(check)[0] != zlib.crc32(content):
            raise UserError("it is cut short or changed: its checksum is another")
        parts, place = [], len(_BEGINNING)
        while place < len(content):
            length = _LENGTH.unpack_from(content, place)[0]
            place += _LENGTH.size
            parts.append(content[place : place + length])
            place += length
        header, blocks, stack, beside = parts
        return cls(
            json.loads(header),
            tuple(_BLOCK.iter_unpack(blocks)),
            np.frombuffer(stack, "<u4").astype(np.uint32),
            beside,
        )


def checksum(rows: list[list[int]]) -> int:
    """The checksum of the ids of a block."""
    return zlib.crc32(np.concatenate([np.asarray(row, "<i4") for row in rows]).tobytes())
