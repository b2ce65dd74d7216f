# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text to an archive, at the length of its evidence bound."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from pyro_textvae.compression.archive import Archive, checksum
from pyro_textvae.compression.arithmetic import arithmetic, libraries
from pyro_textvae.compression.block_coder import BlockCoder
from pyro_textvae.compression.coded_programs import CodedPrograms
from pyro_textvae.compression.decompress import decompress
from pyro_textvae.compression.lines import CodedLines, take_apart
from pyro_textvae.compression.stack import first_stack
from pyro_textvae.config.checks import SEED, check_argument
from pyro_textvae.config.compress import BLOCK_SIZE, LATENT_BITS
from pyro_textvae.data import Tokenizer
from pyro_textvae.displayed import Displayed
from pyro_textvae.errors import UserError

_LEVEL = 19
"""Of zstandard: its best without a larger window."""


@dataclass(frozen=True, repr=False)
class Compressed(Displayed):
    """An archive, and what it cost.

    archive
        The file.
    num_lines, num_patched, num_raw
        Lines of the text; those whose sentence needs a change beside it; those kept as they are.
    num_sentences, num_tokens
        Coded by the model, ``<eos>`` counted.
    coded
        What they cost, nats per sentence, the bits that the stack began with not counted.
    minus_elbo
        What they should cost, nats per sentence: minus the bound by the draws that were coded.
    initial_bits
        What the stack began with.
    beside_bytes
        For what the sentences lose of the text.
    header_bytes
        For all else that is not the sentences.
    bits, bits_wanted
        Of a dimension of the latent; those with which no interval is wider than half of the
        narrowest posterior.
    """

    archive: bytes
    num_lines: int
    num_patched: int
    num_raw: int
    num_sentences: int
    num_tokens: int
    coded: float
    minus_elbo: float
    initial_bits: int
    beside_bytes: int
    header_bytes: int
    bits: int
    bits_wanted: int


def compress(
    model: nn.Module,
    guide: nn.Module,
    tokenizer: Tokenizer,
    text: bytes,
    *,
    run: str,
    bits: int = 8,
    block_size: int = 64,
    seed: int = 0,
) -> Compressed:
    r"""An archive of a text that :func:`decompress` makes the text of again, to the byte.

    The sentences cost minus their evidence bound,

    .. math::
        -\log_2 p(x \mid z) - \log_2 p(z) + \log_2 q(z \mid x) \quad \text{bits}, \qquad
        z \sim q(z \mid x),

    for z is drawn with bits that the archive holds already, and these are there again when it has
    been read. What the tokenizer loses of the text (case, spaces, unknown words) goes beside. The
    archive is decoded and compared before it is returned.

    >>> from pyro_textvae.data import train_tokenizer
    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> tokenizer = train_tokenizer(["a cat sat", "a dog sat"])
    >>> sizes = {"vocab_size": len(tokenizer), "embedding_dim": 4, "hidden_dim": 5}
    >>> model = SentenceVAE(StandardNormal(2), LSTMDecoder(**sizes, latent_dim=2, max_length=7))
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> text = b"a cat sat\nA dog  sat\n"
    >>> archive = compress(model, guide, tokenizer, text, run="mine").archive
    >>> decompress(model, guide, tokenizer, archive, run="mine") == text
    True

    Source: Townsend, Bird and Barber (2019), https://arxiv.org/abs/1901.04866.

    :param text: the bytes of a file, which are lines.
    :param run: what tells these weights from others, such as the hash of their file.
    :param bits: of a dimension of z.
    :param block_size: sentences that are coded side by side; memory grows with it.
    :param seed: of the bits that the stack begins with.
    :raises UserError: for programs that cannot be coded, with what they have; for an empty text.
    """
    _, zstandard = libraries()
    bits = check_argument("bits", bits, int, LATENT_BITS)
    block_size = check_argument("block_size", block_size, int, BLOCK_SIZE)
    seed = check_argument("seed", seed, int, SEED)
    if not text:
        raise UserError("there is nothing to compress: the text is empty")
    programs = CodedPrograms(model, guide)
    parts = take_apart(text, tokenizer, programs.max_length)
    beside = zstandard.ZstdCompressor(level=_LEVEL).compress(parts.beside)
    with programs.running():
        coder = BlockCoder(programs, bits, block_size)
        stack = first_stack(coder.bits_of_latent, seed)
        initial_bits = stack.num_valid_bits()
        blocks, minus_elbo, wanted = _push_all(coder, stack, parts)
    header = {
        "run": run,
        "tokenizer": tokenizer.fingerprint,
        "bits": bits,
        "block_size": block_size,
        "seed": seed,
        "text": hashlib.sha256(text).hexdigest(),
        "arithmetic": arithmetic(),
    }
    words = stack.get_compressed()
    archive = Archive(header, tuple(blocks), words, beside).to_bytes()
    # It compares the text by its hash.
    decompress(model, guide, tokenizer, archive, run=run)
    count = max(1, len(parts.sentences))
    return Compressed(
        archive=archive,
        num_lines=parts.num_lines,
        num_patched=parts.num_patched,
        num_raw=parts.num_raw,
        num_sentences=len(parts.sentences),
        num_tokens=sum(map(len, parts.sentences)),
        coded=(stack.num_valid_bits() - initial_bits) * math.log(2) / count,
        minus_elbo=minus_elbo / count,
        initial_bits=initial_bits,
        beside_bytes=len(beside),
        header_bytes=len(archive) - len(beside) - 4 * len(words),
        bits=bits,
        bits_wanted=wanted,
    )


def _push_all(
    coder: BlockCoder, stack: Any, parts: CodedLines
) -> tuple[list[tuple[int, int]], float, int]:
    """Push all sentences, in blocks as large as the bits on the stack allow for.

    :returns: the blocks with their checksums, minus the bound of all sentences (nats), and the bits
        of a dimension that would not blur the narrowest posterior.
    """
    blocks, minus_elbo, wanted, first = [], 0.0, 1, 0
    while first < len(parts.sentences):
        size = coder.block_size
        if coder.bits_of_latent:
            size = max(1, min(size, stack.num_valid_bits() // coder.bits_of_latent))
        rows = parts.sentences[first : first + size]
        bound = coder.push(stack, rows)
        blocks.append((len(rows), checksum(rows)))
        minus_elbo += bound.minus_elbo
        wanted = max(wanted, bound.bits_wanted)
        first += size
    return blocks, minus_elbo, wanted
