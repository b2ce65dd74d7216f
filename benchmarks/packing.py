# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Throughput and memory of packing a corpus, of opening it, and of planning its batches.

    python benchmarks/packing.py --tokens 100000000

Synthetic text with word frequencies as 1 / rank, of sentences of 20 words on average, is written
into a folder, packed with the word tokenizer, opened again and planned. Memory is that of this
process and of the processes that it starts (psutil's USS, which counts no page twice).
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from pyro_textvae.data import Corpus, load_corpus, plan_batches

NUM_WORDS = 100_000
LINES_AT_ONCE = 20_000


def write_text(path: Path, num_tokens: int) -> None:
    """Write sentences until they have so many words."""
    random = np.random.default_rng(0)
    letters = [random.integers(97, 123, size=size) for size in random.integers(2, 10, NUM_WORDS)]
    words = np.array([bytes(word.tolist()).decode() for word in letters])
    cumulative = np.cumsum(1 / np.arange(1, NUM_WORDS + 1))
    written = 0
    with path.open("w") as file:
        while written < num_tokens:
            lengths = np.minimum(random.geometric(1 / 20, LINES_AT_ONCE) + 1, 100)
            drawn = random.random(int(lengths.sum())) * cumulative[-1]
            text = words[np.minimum(cumulative.searchsorted(drawn), NUM_WORDS - 1)]
            for line in np.split(text, np.cumsum(lengths)[:-1]):
                file.write(" ".join(line) + "\n")
            written += int(lengths.sum())


class Memory(threading.Thread):
    """The memory of this process and its children, at intervals of so many seconds."""

    def __init__(self, interval: float = 0.5) -> None:
        super().__init__(daemon=True)
        self._interval = interval
        self.curve: list[tuple[float, float]] = []
        self._since = time.monotonic()
        self._done = threading.Event()

    def run(self) -> None:
        ours = psutil.Process()
        while not self._done.wait(self._interval):
            total = 0
            for process in [ours, *ours.children(recursive=True)]:
                try:
                    total += process.memory_full_info().uss
                except psutil.Error:
                    continue
            self.curve.append((time.monotonic() - self._since, total / 2**20))

    def stop(self) -> None:
        self._done.set()
        self.join()


def packed(path: Path, cache: Path, num_tokens: int) -> Corpus:
    """Pack, and print how fast and in how much memory."""
    memory = Memory()
    memory.start()
    started = time.monotonic()
    corpus = load_corpus(path, cache_dir=cache)
    seconds = time.monotonic() - started
    memory.stop()
    print(f"packing: {seconds:.1f} s, {num_tokens / seconds / 1e6:.2f} million words a second")
    peak = max((size for _, size in memory.curve), default=0.0)
    print(f"memory: at most {peak:.0f} MiB; over time:")
    for second, size in memory.curve[:: max(1, len(memory.curve) // 20)]:
        print(f"  {second:7.1f} s  {size:6.0f} MiB")
    return corpus


def main() -> None:
    """Write, pack, open, plan."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="for text and corpus; by default a new one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, cache = Path(folder) / "text.txt", Path(folder) / "cache"
        write_text(path, options.tokens)
        # A file so new might be written to again, and its hash would not be kept.
        time.sleep(2.5)
        print(f"text: {path.stat().st_size / 2**20:.0f} MiB, {psutil.cpu_count()} cores")
        corpus = packed(path, cache, options.tokens)
        started = time.monotonic()
        corpus = load_corpus(path, cache_dir=cache)
        print(f"opening: {time.monotonic() - started:.2f} s")
        next(iter(corpus.batches("test", batch_size=32, shuffle=False)))
    lengths = np.random.default_rng(0).geometric(0.05, (5_000_000, 1)) + 1
    for limit in ({"batch_size": 32}, {"max_tokens": 4096}):
        before = psutil.Process().memory_full_info().uss / 2**20
        memory = Memory(interval=0.02)
        memory.start()
        started = time.monotonic()
        plan = plan_batches(lengths, **limit)
        seconds = time.monotonic() - started
        memory.stop()
        peak = max((size for _, size in memory.curve), default=before) - before
        held = psutil.Process().memory_full_info().uss / 2**20 - before
        print(f"planning 5 million sentences, {limit}: {len(plan):,} batches, {seconds:.1f} s")
        print(f"  {peak:.0f} MiB at most beside the lengths, {held:.0f} MiB held by the plan")
        del plan


if __name__ == "__main__":
    main()
