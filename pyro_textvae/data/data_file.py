# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A file of text as it lies on the disk: plain or compressed, and as it was when it was opened."""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from pyro_textvae.errors import UserError

Row = TypeVar("Row")

COMPRESSIONS = (".gz", ".zst", ".xz")
"""Endings of compressed files, after that of the format."""

_BLOCK = 2**17


def format_of(path: Path) -> str:
    """The ending that says how a file is written, without that of its compression.

    >>> format_of(Path("train.tsv.gz")), format_of(Path("train.txt"))
    ('.tsv', '.txt')
    """
    if path.suffix.lower() in COMPRESSIONS:
        path = path.with_suffix("")
    return path.suffix.lower()


class DataFile:
    """One file that is read, from its beginning each time that it is opened.

    :param path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._status = _status(path)
        self._raw: BinaryIO | None = None

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self._status[0]

    @property
    def position(self) -> int:
        """Bytes on the disk that were read."""
        return 0 if self._raw is None or self._raw.closed else self._raw.tell()

    def refuse_change(self) -> None:
        """Refuse a file that was written to since.

        :raises UserError: with its name.
        """
        if _status(self.path) != self._status:
            raise UserError(
                f"{self.name} changed while it was read; start again when nothing writes to it"
            )

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Its content, out of its compression.

        :raises UserError: where it cannot be read, or is cut short.
        """
        try:
            with self.path.open("rb") as raw:
                self._raw = raw
                with _uncompressed(raw, self.path.suffix.lower()) as content:
                    yield content
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
            raise UserError(
                f"{self.name} is cut short or damaged ({str(error).rstrip('.')}); bring a whole "
                "copy of it"
            ) from None

    @contextmanager
    def reading(self, rows: Iterator[Row]) -> Iterator[Iterator[Row]]:
        """Rows of the file, which is closed when they are left."""
        try:
            yield rows
        finally:
            if self._raw is not None:
                self._raw.close()

    @contextmanager
    def plain(self) -> Iterator[Path]:
        """A file with its content out of its compression, for what reads from several places.

        :raises UserError: as :meth:`open`.
        """
        if self.path.suffix.lower() not in COMPRESSIONS:
            yield self.path
            return
        with tempfile.NamedTemporaryFile(prefix="pyro-textvae-") as copy:
            with self.open() as content:
                shutil.copyfileobj(content, copy, _BLOCK)
            copy.flush()
            yield Path(copy.name)


def _status(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _uncompressed(raw: BinaryIO, suffix: str) -> BinaryIO:
    if suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(raw))
    if suffix == ".zst":
        return cast(BinaryIO, io.BufferedReader(_Zstandard(raw), _BLOCK))
    # Not closed with the context of its content alone: it is the file itself.
    return raw


class _Zstandard(io.RawIOBase):
    """All frames of a compressed file; that of the library stops at the first, cut short or not."""

    def __init__(self, raw: BinaryIO) -> None:
        try:
            import zstandard
        except ImportError:
            raise UserError(
                "reading .zst needs zstandard: pip install 'pyro-textvae[data]'"
            ) from None
        self._raw = raw
        self._errors = zstandard.ZstdError
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._rest = self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._rest or self._raw.read(_BLOCK)
            self._rest = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("it ends within a frame")
                return 0
            self._frame = self._frame or self._new()
            try:
                self._ready = self._frame.decompress(data)
            except self._errors as error:
                raise EOFError(str(error)) from None
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
