# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What leads from the text that a tokenizer gives back to the text that it was given."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator


def make_patch(given: str, restored: str) -> bytes:
    r"""The changes that :func:`apply_patch` makes of ``restored`` what was given.

    >>> patch = make_patch("A  zebra sat", "a <unk> sat")
    >>> apply_patch(patch, "a <unk> sat")
    'A  zebra sat'
    >>> make_patch("a cat", "a cat")
    b''
    """
    before, after = _pieces(restored), _pieces(given)
    changes, last = bytearray(), 0
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, start, end, first, stop in matcher.get_opcodes():
        if kind == "equal":
            continue
        inserted = "".join(after[first:stop]).encode()
        for number in (start - last, end - start, len(inserted)):
            changes += write_number(number)
        changes += inserted
        last = end
    return bytes(changes)


def apply_patch(patch: bytes, restored: str) -> str:
    """What was given, from what a tokenizer gave back.

    :raises ValueError: for a patch that is damaged, or of another text.
    """
    pieces, text, last = _pieces(restored), [], 0
    reader = NumberReader(patch)
    while not reader.is_at_end:
        skipped, removed, length = reader.number(), reader.number(), reader.number()
        if last + skipped + removed > len(pieces):
            raise ValueError("the patch is of another text")
        text += [*pieces[last : last + skipped], reader.bytes(length).decode()]
        last += skipped + removed
    return "".join([*text, *pieces[last:]])


def write_number(number: int) -> bytes:
    r"""A whole number in as few bytes as it needs, seven bits in each.

    >>> write_number(5), write_number(300)
    (b'\x05', b'\xac\x02')
    """
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


class NumberReader:
    """Reads what :func:`write_number` wrote, and bytes between.

    :raises ValueError: from its methods, where the bytes end too soon.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all has been read."""
        return self._place == len(self._data)

    def number(self) -> int:
        """The next number."""
        value = shift = 0
        for byte in self._bytes_of_number():
            value |= (byte & 127) << shift
            shift += 7
        return value

    def bytes(self, length: int) -> bytes:
        """The next bytes, so many."""
        taken = self._data[self._place : self._place + length]
        if len(taken) < length:
            raise ValueError("the data ends too soon")
        self._place += length
        return taken

    def _bytes_of_number(self) -> Iterator[int]:
        while True:
            byte = self.bytes(1)[0]
            yield byte
            if byte < 128:
                return


def _pieces(text: str) -> list[str]:
    return re.findall(r"\s+|\S+", text)
