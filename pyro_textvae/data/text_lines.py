# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The lines of a file of text, read one by one, however the file ends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pyro_textvae.data.data_file import DataFile
from pyro_textvae.errors import UserError

LONGEST_LINE_BYTES = 2**24
"""A longer line is a file without line ends: it is refused when so much of it is read."""

_BLOCK = 2**16


def lines(path: Path | DataFile) -> Iterator[tuple[int, str]]:
    r"""Number and text of each line of UTF-8, without its end and without a byte order mark.

    Lines end at ``\n`` or ``\r\n`` only, unlike those of ``str.splitlines``; in a file without
    ``\n``, at ``\r``.

    :raises UserError: naming file and line, for a line too long and for what is not UTF-8.
    """
    opened = path if isinstance(path, DataFile) else DataFile(path)
    # Once to look, for what is compressed cannot be read from its beginning again.
    with opened.open() as file:
        ends_with_carriage_returns = _ends_lines_with_carriage_returns(file)
    with opened.open() as file:
        pieces = _between_carriage_returns if ends_with_carriage_returns else _between_line_feeds
        for number, data in enumerate(pieces(file, path.name), start=1):
            if b"\0" in data:
                raise UserError(f"{path.name} line {number} is binary, not text; give UTF-8 text")
            try:
                line = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path.name} line {number} is not UTF-8 (byte {error.start}); convert the"
                    " file, for example with `iconv -t UTF-8`"
                ) from None
            yield number, line.removesuffix("\n").removesuffix("\r")


def _between_line_feeds(file: BinaryIO, name: str) -> Iterator[bytes]:
    number = 0
    while data := file.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        if len(data) > LONGEST_LINE_BYTES:
            raise _too_long(name, number)
        yield data


def _ends_lines_with_carriage_returns(file: BinaryIO) -> bool:
    """Whether there are carriage returns and no line feed before the end of the file."""
    has_carriage_return, size = False, 0
    while block := file.read(_BLOCK):
        if b"\n" in block:
            # One at the end of the file ends no line but the last.
            is_at_end = block.index(b"\n") == len(block) - 1 and not file.read(1)
            has_carriage_return |= b"\r" in block.removesuffix(b"\n").removesuffix(b"\r")
            has_carriage_return &= is_at_end
            break
        has_carriage_return |= b"\r" in block
        size += len(block)
        if size > LONGEST_LINE_BYTES:
            break
    return has_carriage_return


def _between_carriage_returns(file: BinaryIO, name: str) -> Iterator[bytes]:
    number, rest = 0, b""
    while block := file.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\r")
        yield from whole
        number += len(whole)
        if len(rest) > LONGEST_LINE_BYTES:
            raise _too_long(name, number + 1)
    if rest and rest != b"\n":
        yield rest


def _too_long(name: str, number: int) -> UserError:
    return UserError(
        f"{name} line {number} is longer than {LONGEST_LINE_BYTES:,} bytes, which is no sentence; "
        "put one sentence a line"
    )
