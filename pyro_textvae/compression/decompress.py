# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An archive to its text."""

from __future__ import annotations

import hashlib

from torch import nn

from pyro_textvae.compression.archive import Archive, checksum
from pyro_textvae.compression.arithmetic import differences, libraries
from pyro_textvae.compression.block_coder import BlockCoder
from pyro_textvae.compression.coded_programs import CodedPrograms
from pyro_textvae.compression.lines import put_together
from pyro_textvae.compression.stack import is_first, stack_of
from pyro_textvae.data import Tokenizer
from pyro_textvae.errors import UserError


def decompress(
    model: nn.Module, guide: nn.Module, tokenizer: Tokenizer, archive: bytes, *, run: str
) -> bytes:
    """The text that :func:`~pyro_textvae.compression.compress` made an archive of, to the byte.

    A decoder with other floats than the coder had would read fluent text that is not the one: every
    block has a checksum, the stack must end as it began, and the text is compared by its hash.

    :param run: as it was given to ``compress``.
    :raises UserError: for what is no archive, one that is cut, changed or another run's, and where
        the arithmetic here gives other floats: naming in what it differs.
    """
    read = Archive.from_bytes(archive)
    header = read.header
    if header["run"] != run:
        raise UserError(
            f"it was compressed by the weights {header['run'][:12]}, and these are {run[:12]}: "
            "give the run that compressed it"
        )
    if header["tokenizer"] != tokenizer.fingerprint:
        raise UserError("it was compressed with another tokenizer: give the run that compressed it")
    _, zstandard = libraries()
    programs = CodedPrograms(model, guide)
    with programs.running():
        coder = BlockCoder(programs, header["bits"], header["block_size"])
        stack = stack_of(read.stack)
        blocks = []
        for number, (size, check) in reversed(list(enumerate(read.blocks, start=1))):
            try:
                rows = coder.pop(stack, size)
            except ValueError:
                rows = []
            if not rows or checksum(rows) != check:
                raise _not_the_text(header["arithmetic"], f"block {number} of {len(read.blocks)}")
            blocks.append(rows)
        if not is_first(stack, coder.bits_of_latent, header["seed"]):
            raise _not_the_text(header["arithmetic"], "what is below the first block")
    sentences = [row for rows in reversed(blocks) for row in rows]
    text = put_together(sentences, zstandard.ZstdDecompressor().decompress(read.beside), tokenizer)
    if hashlib.sha256(text).hexdigest() != header["text"]:
        raise _not_the_text(header["arithmetic"], "the text")
    return text


def _not_the_text(there: dict[str, str], what: str) -> UserError:
    differ = differences(there)
    reason = f"the arithmetic differs ({'; '.join(differ)})" if differ else "floats differ here"
    return UserError(f"{what} does not decode to what was compressed: {reason}")
