# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A file as sentences that a model codes, and what of the file is not in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_textvae.compression.patches import NumberReader, apply_patch, make_patch, write_number
from pyro_textvae.data import Tokenizer
from pyro_textvae.special_tokens import EOS

_EXACT, _PATCHED, _RAW = range(3)


@dataclass(frozen=True)
class CodedLines:
    """A file taken apart.

    sentences
        Of each line that the model codes, the ids, ``<eos>`` last.
    beside
        What of the file is not in them.
    num_lines, num_patched, num_raw
        Lines in all, those whose sentence needs a change, and those that are kept as they are.
    """

    sentences: list[list[int]]
    beside: bytes
    num_lines: int
    num_patched: int
    num_raw: int


def take_apart(data: bytes, tokenizer: Tokenizer, max_length: int) -> CodedLines:
    r"""The sentences of a file, and what they lose of it.

    A line is kept as it is where it has no word, is longer than ``max_length``, is no UTF-8, or
    where that is shorter than what would lead to it from its sentence.

    >>> from pyro_textvae.data import train_tokenizer
    >>> tokenizer = train_tokenizer(["a cat sat", "a dog sat"])
    >>> taken = take_apart(b"a cat sat\n\na  zebra\xff\n", tokenizer, 9)
    >>> taken.num_lines, taken.num_patched, taken.num_raw, len(taken.sentences)
    (4, 0, 3, 1)
    >>> put_together(taken.sentences, taken.beside, tokenizer)
    b'a cat sat\n\na  zebra\xff\n'
    """
    kinds, beside, sentences = bytearray(), bytearray(), []
    lines = data.split(b"\n")
    for line in lines:
        kind, ids, extra = _taken(line, tokenizer, max_length)
        kinds.append(kind)
        if ids is not None:
            sentences.append(ids)
        if kind != _EXACT:
            beside += write_number(len(extra)) + extra
    packed = write_number(len(kinds)) + bytes(kinds) + bytes(beside)
    return CodedLines(sentences, packed, len(lines), kinds.count(_PATCHED), kinds.count(_RAW))


def put_together(sentences: Sequence[Sequence[int]], beside: bytes, tokenizer: Tokenizer) -> bytes:
    """The file that was taken apart.

    :raises ValueError: where the parts are not of one file.
    """
    reader = NumberReader(beside)
    kinds = reader.bytes(reader.number())
    rows, lines = iter(sentences), []
    for kind in kinds:
        extra = b"" if kind == _EXACT else reader.bytes(reader.number())
        if kind == _RAW:
            lines.append(extra)
            continue
        ids = next(rows, None)
        if ids is None:
            raise ValueError("there are fewer sentences than lines that have one")
        restored = tokenizer.decode(ids)
        lines.append((apply_patch(extra, restored) if extra else restored).encode())
    return b"\n".join(lines)


def _taken(
    line: bytes, tokenizer: Tokenizer, max_length: int
) -> tuple[int, list[int] | None, bytes]:
    """The kind of a line, the ids of its sentence, and what is beside it."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return _RAW, None, line
    # Of a line that is too long in any case the tokens need not be known.
    ids = tokenizer.encode(text) if tokenizer.fewest_tokens(text) < max_length else []
    if not ids or len(ids) >= max_length:
        return _RAW, None, line
    ids = [*ids, EOS]
    restored = tokenizer.decode(ids)
    if restored == text:
        return _EXACT, ids, b""
    patch = make_patch(text, restored)
    return (_PATCHED, ids, patch) if len(patch) < len(line) else (_RAW, None, line)
