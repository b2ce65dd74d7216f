# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Throughput of training in several processes against one, each with one thread, in one run.

The same batches, by turns, several times; the first steps of each are not counted::

    python benchmarks/processes.py path/to/ptb --batch-sizes 32 128 --steps 40 --repeats 3

What a step spends on the exchange is timed too, the sum of gradients by itself. Beside it stand as
many processes at once that exchange nothing, each with its share of the batch: more than they reach
together is not to be had of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import pyro
import torch
import torch.distributed

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.infer.loss_module import loss_module
from pyro_textvae.processes import rank_and_size, sum_of_all
from pyro_textvae.runs.build import build
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.update import Updates

WARM = 4


def measure(data: str, batch_size: int, steps: int) -> dict[str, float]:
    """Tokens a second over some steps of the epoch, and seconds of the exchange of a step."""
    config = TrainConfig(data=data, batch_size=batch_size, device="cpu")
    corpus = load_corpus(data)
    built = build(config, corpus)
    parameters = [*built.modules.parameters()]
    updates = Updates(built.modules, parameters, config, Path("none"))
    loss = loss_module(built.objective, built.model, built.guide, len(corpus.train))
    plan = corpus.plan("train", batch_size)[: WARM + steps]
    batches = [corpus.train.batch(rows) for rows in plan]
    exchange = 0.0
    sum_gradients = updates.shared.sum_gradients

    def timed(moving: list[torch.nn.Parameter]) -> None:
        nonlocal exchange
        # So that what is timed is no wait for the other's backward pass.
        sum_of_all(torch.zeros(1))
        started = time.perf_counter()
        sum_gradients(moving)
        exchange += time.perf_counter() - started

    with pyro.validation_enabled(False):
        for place, batch in enumerate(batches):
            if place == WARM:
                sum_of_all(torch.zeros(1))
                started, exchange = time.perf_counter(), 0.0
                if rank_and_size()[1] > 1:
                    updates.shared.sum_gradients = timed  # type: ignore[method-assign]
            updates.step(loss, batch, Progress())
        sum_of_all(torch.zeros(1))
    seconds = time.perf_counter() - started
    tokens = sum(int(corpus.train.lengths[rows].sum()) for rows in plan[WARM:])
    return {"tokens_per_second": tokens / seconds, "exchange": exchange / steps}


def worker(data: str, batch_size: int, steps: int) -> None:
    """One process; the first one prints what was measured."""
    torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        torch.distributed.init_process_group("gloo")
    measured = measure(data, batch_size, steps)
    if rank_and_size()[0] == 0:
        print(json.dumps(measured))


def together(size: int, data: str, batch_size: int, steps: int) -> dict[str, float]:
    """That many processes that torchrun starts, with a batch in common."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(size)]
    return _measured([*launch, *_worker(data, batch_size, steps)])


def each_alone(count: int, data: str, batch_size: int, steps: int) -> dict[str, float]:
    """That many processes at once, each with its share of the batch and nothing to exchange."""
    command = _worker(data, batch_size // count, steps)
    with ThreadPoolExecutor(count) as pool:
        measured = pool.map(_measured, [command] * count)
    return {"tokens_per_second": sum(row["tokens_per_second"] for row in measured), "exchange": 0.0}


def _worker(data: str, batch_size: int, steps: int) -> list[str]:
    return [__file__, data, "--steps", str(steps), "--worker", str(batch_size)]


def _measured(arguments: list[str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def main() -> None:
    """Measure by turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker is not None:
        worker(given.data, given.worker, given.steps)
        return
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, torch {torch.__version__}")
    print("| batch | processes | tokens a second, each repeat | ratio | exchange a step |")
    print("|---|---|---|---|---|")
    apart = f"{given.processes}, no exchange"
    for batch_size in given.batch_sizes:
        ways: dict[str, Callable[[], dict[str, float]]] = {
            "1": partial(together, 1, given.data, batch_size, given.steps),
            str(given.processes): partial(
                together, given.processes, given.data, batch_size, given.steps
            ),
            apart: partial(each_alone, given.processes, given.data, batch_size, given.steps),
        }
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(given.repeats):
            for name, measured_once in ways.items():
                rows[name].append(measured_once())
        base = median(row["tokens_per_second"] for row in rows["1"])
        for name, measured in rows.items():
            each = [row["tokens_per_second"] for row in measured]
            print(
                f"| {batch_size} | {name} | {', '.join(f'{value:,.0f}' for value in each)} "
                f"| {median(each) / base:.2f} "
                f"| {1000 * median(row['exchange'] for row in measured):.1f} ms |",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
