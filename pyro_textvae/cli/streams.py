# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Standard output and standard error that nobody reads do not stop the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class _Unbroken:
    """A stream that goes on into nothing once its reader has gone (``| head``)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self) -> None:
        """Point the stream's file at nothing, so that what is still buffered goes there too."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def unbroken_streams() -> Iterator[None]:
    """Inside, closed or broken standard streams take text and lose it.

    A stream that was closed at the start (``2>&-``) gets its file back as one into nothing: the
    next file to be opened would take its number, and a library's warning would end up in it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
    before = sys.stdout, sys.stderr
    outputs = [stream or open(os.devnull, "w", encoding="utf-8") for stream in before]
    sys.stdout, sys.stderr = map(_Unbroken, outputs)
    try:
        yield
    finally:
        # What cannot be written, as on a full disk, was said before.
        with suppress(OSError):
            sys.stdout.flush()
        with suppress(OSError):
            sys.stderr.flush()
        sys.stdout, sys.stderr = before
        for stream, old in zip(outputs, before, strict=True):
            if old is None:
                stream.close()
