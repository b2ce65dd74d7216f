# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae compress``."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyro_textvae.cli.file_options import (
    FileOptions,
    file_to_write,
    load_coding_run,
    parse_with_file,
    read_file,
)
from pyro_textvae.cli.output import print_beside, print_table
from pyro_textvae.config.checks import SEED, check_settings, setting
from pyro_textvae.config.compress import BLOCK_SIZE, LATENT_BITS

if TYPE_CHECKING:
    from pyro_textvae.compression import Compressed


@dataclass
class CompressOptions(FileOptions):
    """Compress a file of text by a run to its evidence bound; decompress gives it back to the byte.

    Args:
        bits: of a dimension of the latent.
        block_size: sentences that are coded side by side; memory grows with it.
        seed: of the bits that the archive begins with.
        json: print the numbers as a JSON object in the place of the table.

    """

    bits: int = setting(8, LATENT_BITS)
    block_size: int = setting(64, BLOCK_SIZE)
    seed: int = setting(0, SEED)
    json: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def main(arguments: Sequence[str]) -> None:
    """Write the archive, and say what it costs."""
    options = parse_with_file(CompressOptions, "compress", arguments)
    text = read_file(options.file)
    out = options.out or f"{options.file}.tvae"
    path = file_to_write(out, options.run, overwrite=options.overwrite)
    from pyro_textvae.compression import compress
    from pyro_textvae.run_folder.files import write_bytes

    run = load_coding_run(options)
    started = time.perf_counter()
    result = compress(
        run.model,
        run.guide,
        run.tokenizer,
        text,
        run=run.weights_sha256,
        bits=options.bits,
        block_size=options.block_size,
        seed=options.seed,
    )
    seconds = time.perf_counter() - started
    write_bytes(path, result.archive)
    table = _table(result, text, run.weights_bytes, seconds)
    values = {**result.to_dict(), "archive": str(path), "archive_bytes": len(result.archive)}
    print_table(table, {**values, "seconds": seconds}, as_json=options.json)
    print_beside(f"written to {path}, after it was decoded and compared", as_json=options.json)


def _table(result: Compressed, text: bytes, model_bytes: int, seconds: float) -> str:
    from pyro_textvae.compression.arithmetic import libraries

    _, zstandard = libraries()
    size = len(result.archive)
    coded = result.num_lines - result.num_patched - result.num_raw
    bits_of_text = 8 * (size - result.beside_bytes - result.header_bytes) - result.initial_bits
    others = {
        "gzip": len(gzip.compress(text, 9)),
        "bz2": len(bz2.compress(text)),
        "xz": len(lzma.compress(text, preset=9)),
        "zstd -19": len(zstandard.ZstdCompressor(level=19).compress(text)),
    }
    rows = {
        "lines": f"{result.num_lines:,}: {coded:,} by the model, {result.num_patched:,} with a "
        f"change beside it, {result.num_raw:,} as they are",
        "coded": f"{result.coded:.3f} nats per sentence ({result.num_sentences:,} sentences)",
        "  -elbo": f"{result.minus_elbo:.3f} nats per sentence, by the same draws",
        "archive": f"{size:,} bytes of {len(text):,}, {8 * size / len(text):.3f} bits a byte",
        "  the sentences": f"{bits_of_text // 8:,} bytes",
        "  to begin with": f"{result.initial_bits // 8:,} bytes, for the first latent",
        "  beside them": f"{result.beside_bytes:,} bytes, {result.beside_bytes / size:.1%} of all: "
        "what the tokenizer loses",
        "  header": f"{result.header_bytes:,} bytes",
        "others": ", ".join(f"{name} {bytes_:,}" for name, bytes_ in others.items()),
        "model": f"{model_bytes:,} bytes, which are in no line above",
        "time": f"{seconds:.1f} s, decoding once to compare counted; "
        f"{result.num_tokens / seconds:,.0f} tokens a second",
    }
    lines = [f"{name:16s}{value}" for name, value in rows.items()]
    if result.bits_wanted > result.bits:
        lines.append(
            f"note: {result.bits} bits a dimension blur the narrowest posterior, --bits "
            f"{result.bits_wanted} would not"
        )
    return "\n".join(lines)
