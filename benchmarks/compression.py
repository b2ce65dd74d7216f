# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What text costs under a run, beside its bound and beside compressors that know no model.

    python benchmarks/compression.py runs/grammar=grammar.txt runs/snli=snli.txt [--bits 8]

Of each run and file: the coded length beside -elbo by the same draws and by many; the archive
decoded and compared to the byte, with one thread and with two; damaged archives, of which none may
decode; sizes beside gzip, bz2, xz, zstd -19 and, where pyppmd is installed, PPMd; seconds of the
processor, not of the clock, beside those of drawing as many words from the model.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pyro_textvae.compression import compress, decompress
from pyro_textvae.compression.lines import take_apart
from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.sentences import num_tokens_of
from pyro_textvae.generation import sample
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs import load_run

DAMAGED = 200
DRAWS = 5
SAMPLED = 250


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, and what was returned."""
    started = time.process_time()
    result = call()
    return time.process_time() - started, result


def others(text: bytes) -> dict[str, int]:
    """Bytes by compressors that know no model, each at its best."""
    import zstandard

    sizes = {
        "gzip": len(gzip.compress(text, 9)),
        "bz2": len(bz2.compress(text)),
        "xz": len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)),
        "zstd -19": len(zstandard.ZstdCompressor(level=19).compress(text)),
    }
    try:
        import pyppmd
    except ImportError:
        return sizes
    orders = range(2, 9)
    return sizes | {"PPMd": min(len(pyppmd.compress(text, max_order=order)) for order in orders)}


def damaged(archive: bytes) -> list[bytes]:
    """Half with a bit turned, half cut."""
    generator = np.random.default_rng(0)
    cut = [archive[:length] for length in generator.integers(0, len(archive), DAMAGED // 2)]
    turned = []
    for place in generator.integers(0, 8 * len(archive), DAMAGED - len(cut)):
        changed = bytearray(archive)
        changed[place // 8] ^= 1 << place % 8
        turned.append(bytes(changed))
    return cut + turned


def refused(decode: Callable[[bytes], bytes], archives: list[bytes]) -> int:
    """How many are refused with a message; any other exception ends the program."""
    count = 0
    for archive in archives:
        try:
            decode(archive)
        except UserError:
            count += 1
    return count


def bound_by_many_draws(
    model: nn.Module, guide: nn.Module, tokenizer: Tokenizer, text: bytes, max_length: int
) -> tuple[float, float]:
    """Minus the bound of the sentences that are coded, and its standard error by the draws."""
    rows = take_apart(text, tokenizer, max_length).sentences
    batches = [{"tokens": pad(rows[start : start + 50])} for start in range(0, len(rows), 50)]
    bounds = torch.stack(
        [log_likelihood(model, guide, batches, DRAWS, seed).elbo for seed in (0, 1)]
    )
    error = (bounds[0] - bounds[1]).std() / 2 / len(rows) ** 0.5
    return -float(bounds.mean()), float(error)


def measure(run: str, file: str, bits: int) -> None:
    """Print the numbers of one run and file."""
    folder = RunFolder(run)
    model, guide, tokenizer = load_run(folder)
    text = Path(file).read_bytes()

    def decode(archive: bytes) -> bytes:
        return decompress(model, guide, tokenizer, archive, run=run)

    in_all, result = seconds_of(lambda: compress(model, guide, tokenizer, text, run=run, bits=bits))
    decoding, back = seconds_of(lambda: decode(result.archive))
    torch.set_num_threads(2)
    by_two = decode(result.archive)
    torch.set_num_threads(1)
    sampling, drawn = seconds_of(lambda: sample(model, min(SAMPLED, result.num_sentences)))
    words = int(num_tokens_of(drawn).sum())
    many, error = bound_by_many_draws(model, guide, tokenizer, text, drawn.shape[1])
    broken = refused(decode, damaged(result.archive))
    try:
        decompress(model, guide, tokenizer, result.archive, run="another")
        other_run = "DECODED"
    except UserError:
        other_run = "refused"
    coding, per_word = in_all - decoding, sampling / words
    size = len(result.archive)
    print(f"{run}, {file}: {result.num_sentences:,} sentences, {result.num_tokens:,} tokens")
    print(
        f"  coded {result.coded:.3f}, -elbo of the same draws {result.minus_elbo:.3f} "
        f"({result.coded / result.minus_elbo - 1:+.2%}), of {2 * DRAWS} draws {many:.3f} +- "
        f"{error:.3f} ({result.coded / many - 1:+.2%})"
    )
    print(f"  decoded to the byte: {back == text}; with two threads: {by_two == text}")
    print(f"  damaged archives refused: {broken} of {DAMAGED}; as another run's: {other_run}")
    sizes = {"archive": size, "of it beside": result.beside_bytes, "text": len(text)}
    sizes |= others(text) | {"model": folder.weights.stat().st_size}
    print("  bytes: " + ", ".join(f"{name} {number:,}" for name, number in sizes.items()))
    print(
        f"  tokens a second of the processor: coding {result.num_tokens / coding:,.0f}, decoding "
        f"{result.num_tokens / decoding:,.0f}, sampling {1 / per_word:,.0f}; of sampling's, coding "
        f"{per_word * result.num_tokens / coding:.2f}, decoding "
        f"{per_word * result.num_tokens / decoding:.2f}"
    )


def main() -> None:
    """Measure every run on its file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pairs", nargs="+", metavar="RUN=FILE")
    parser.add_argument("--bits", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for pair in options.pairs:
        run, _, file = pair.partition("=")
        measure(run, file, options.bits)


if __name__ == "__main__":
    main()
