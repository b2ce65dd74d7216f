# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tables of ratios: our training, evaluation and generation against PyTorch written by hand.

``python benchmarks/speed.py [--device cuda] [--threads 2] [--clock processor] [--only training]``

What is timed is in ``speed_cases.py``.

What is compared runs in turns of order, each side in a process of its own, so that other work on
the machine slows both and neither finds memory that the other has left behind; medians of the
repeats. Text is drawn at random: neither time nor memory depends on what the words are.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from speed_cases import (
    CASES,
    GROWTH,
    PTB,
    build,
    current_device,
    difference_of_evaluation,
    draw_tokens,
    our_step,
    settle,
    steps_of,
)

from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.special_tokens import FIRST_EMITTED

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
"""On a machine with other work, processor time says more; on a GPU it says nothing."""


def memory() -> Iterator[str]:
    """Peak memory of one step of IWAE, and of the same with the scores of all tokens at once."""
    for num_particles, vocab_size in ((1, 50_000), (4, 50_000), (16, 50_000), (16, 10_000)):
        peaks = []
        for variant in ("ours", "full"):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                arguments = (str(current_device()), variant, num_particles, vocab_size)
                peaks.append(pool.submit(_peak_of_step, *arguments).result() / 2**20)
        yield (
            f"| peak memory of a step, K = {num_particles}, V = {vocab_size:,} | scores of all "
            f"tokens at once | {peaks[0]:,.0f} MiB | {peaks[1]:,.0f} MiB | "
            f"{peaks[0] / peaks[1]:.2f} |"
        )


def in_turn(
    case: str, device: torch.device, threads: int, repeats: int, clock: str
) -> dict[str, float]:
    """Median seconds of each step of a case: all in every round, in turns of order.

    Each has a process of its own, and is run once to warm up.
    """
    names = list(steps_of(case))
    workers = {name: _Worker(case, name, device, threads, clock) for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    try:
        for repeat in range(repeats + 1):
            for name in names if repeat % 2 else names[::-1]:
                taken[name].append(workers[name].time())
    finally:
        for worker in workers.values():
            worker.process.kill()
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


class _Worker:
    """A process that runs one step whenever it is asked to."""

    def __init__(
        self, case: str, name: str, device: torch.device, threads: int, clock: str
    ) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, case, name, str(device), threads, clock)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()

    def time(self) -> float:
        """Seconds of one run of the step."""
        self.connection.send("go")
        return self.connection.recv()


def _work(
    connection: Connection, case: str, name: str, device: str, threads: int, clock: str
) -> None:
    now = CLOCKS[clock]
    settle(device, threads)
    step = steps_of(case)[name]()
    while connection.recv():
        gc.collect()
        _wait()
        started = now()
        step()
        _wait()
        connection.send(now() - started)


def _peak_of_step(device: str, variant: str, num_particles: int, vocab_size: int) -> int:
    """Bytes that a step takes at most, on top of what the process held before the model."""
    settle(device, 1)
    before = _peak()
    sizes = PTB | {"vocab_size": vocab_size}
    model, guide = build(sizes)
    if variant == "full":
        scores = model.decoder.token_scores
        scores.log_prob = lambda hidden, ids: (
            -torch.nn.functional.cross_entropy(
                scores(hidden), ids - FIRST_EMITTED, reduction="none"
            )
        )
    our_step(model, guide, draw_tokens(32, (20, 24), vocab_size), num_particles)()
    return _peak() - before


def _peak() -> int:
    if current_device().type == "cuda":
        return torch.cuda.max_memory_allocated(current_device())
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _wait() -> None:
    if current_device().type == "cuda":
        torch.cuda.synchronize(current_device())


def _machine() -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    if current_device().type == "cuda":
        name = torch.cuda.get_device_name(current_device())
    return {"machine": name, "threads": torch.get_num_threads(), **describe_environment()}


def main() -> None:
    """Print the machine, and a row of a table for each ratio as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--clock", default="wall", choices=sorted(CLOCKS))
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    settle(options.device, options.threads)
    print(json.dumps({"clock": options.clock, **_machine()}))
    print("| what | against | ours | theirs | ratio |\n|---|---|---|---|---|", flush=True)
    for case in (*CASES, *GROWTH):
        if options.only not in case:
            continue
        seconds = in_turn(case, current_device(), options.threads, options.repeats, options.clock)
        for row in _growth_rows(case, seconds) if case in GROWTH else _rows(case, seconds):
            print(row, flush=True)
    if options.only in "peak memory":
        for row in memory():
            print(row, flush=True)
    if options.only in "log-likelihood":
        error = difference_of_evaluation()
        print(f"\nlog p(x) of both with the same draws: at most {error:.0e} nats apart")


def _rows(case: str, seconds: dict[str, float]) -> Iterator[str]:
    ours = seconds.pop("ours")
    for name, theirs in seconds.items():
        yield (
            f"| {case} | {name} | {1e3 * ours:,.1f} ms | {1e3 * theirs:,.1f} ms | "
            f"{ours / theirs:.2f} |"
        )


def _growth_rows(case: str, seconds: dict[str, float]) -> Iterator[str]:
    units = {int(factor): value / int(factor) for factor, value in seconds.items()}
    for factor in (2, 4):
        after, before = units[factor], units[factor // 2]
        yield (
            f"| {case}, {factor} times as many | {factor // 2} times, each of them | "
            f"{1e3 * after:,.1f} ms | {1e3 * before:,.1f} ms | {after / before:.2f} |"
        )


if __name__ == "__main__":
    main()
