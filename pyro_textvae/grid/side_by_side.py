# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs of a grid side by side, each in a process of its own, so that one that dies dies alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import torch

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.grid.attempt import Report, attempt
from pyro_textvae.grid.definition import Grid, GridRun


class SideBySide:
    """Brings runs to their end, ``jobs`` at a time; a thread waits for each.

    :param jobs: processes, each with its share of this process's threads.
    :param report: receives the lines that the processes print, with the run's name.
    """

    def __init__(self, grid: Grid, jobs: int, *, replaced: set[str], report: Report) -> None:
        self._grid = grid
        self._jobs = jobs
        self._replaced = replaced
        self._report = report
        self._lock = Lock()
        self._stopped = Event()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        threads = str(max(1, torch.get_num_threads() // jobs))
        self._environment = {**os.environ, "OMP_NUM_THREADS": threads}

    def attempt_all(self, runs: Sequence[GridRun]) -> dict[str, str]:
        """Bring these runs of the grid to their end; why one failed, by its name.

        A Ctrl-C ends the processes, which can go on from where they were, and is passed on.
        """
        with ThreadPoolExecutor(self._jobs) as pool:
            futures = [pool.submit(self._attempt, run) for run in runs]
            try:
                reasons = [future.result() for future in futures]
            except BaseException:
                self._stop()
                raise
        named = zip(runs, reasons, strict=True)
        return {run.name: reason for run, reason in named if reason is not None}

    def _attempt(self, run: GridRun) -> str | None:
        reason = self._in_process(run)
        if reason is not None:
            with self._lock:
                self._report(f"{run.name}: failed: {reason}")
        return reason

    def _in_process(self, run: GridRun) -> str | None:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
            with self._lock:
                if self._stopped.is_set():
                    return "stopped"
                process = subprocess.Popen(
                    [sys.executable, "-u", "-m", __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=self._environment,
                )
                self._processes[run.name] = process
            assert process.stdin is not None
            assert process.stdout is not None
            with process:
                packed = _packed(self._grid, run, run.name in self._replaced)
                # One that dies before it has read says so by its status. The pipe stays open: the
                # child ends when it closes, which the death of this process does too.
                with suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(packed) + "\n")
                    process.stdin.flush()
                for line in process.stdout:
                    with self._lock:
                        self._report(f"{run.name}: {line.rstrip()}")
            with self._lock:
                del self._processes[run.name]
            if process.returncode == 0:
                return None
            if process.returncode < 0:
                name = signal.Signals(-process.returncode).name
                return f"ended by {name}; SIGKILL is often a lack of memory: fewer --jobs"
            errors.seek(0)
            lines = [line.strip() for line in errors if line.strip()]
            return lines[-1] if lines else f"ended with status {process.returncode}"

    def _stop(self) -> None:
        with self._lock:
            self._stopped.set()
            for process in self._processes.values():
                process.terminate()


def main() -> int:
    """Finish the run that a line of standard input describes; why it failed goes to stderr.

    When standard input closes, the process that started this one is gone, and this one ends too.
    """
    # A Ctrl-C reaches the whole group; the process that started this one passes it on, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    run, options = _unpacked(json.loads(sys.stdin.readline()))
    Thread(target=_end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        reason = attempt(run, **options)
    except KeyboardInterrupt:
        reason = "stopped"
    if reason is not None:
        print(reason, file=sys.stderr)
    return 0 if reason is None else 1


def _end_with_parent(pipe: int) -> None:
    """End this process as soon as nobody holds the other end of the pipe; nothing comes by it."""
    os.read(pipe, 1)
    # At once, and not at the end of a step: a second start would meet this one. All files are
    # written whole or not at all.
    os._exit(1)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _packed(grid: Grid, run: GridRun, overwrite: bool) -> dict[str, Any]:
    return {
        "cell": run.cell,
        "members": run.members,
        "config": run.config.to_dict(),
        "folder": str(run.folder),
        "evaluation": asdict(grid.evaluation),
        "gradient_draws": grid.gradient_draws,
        "overwrite": overwrite,
    }


def _unpacked(packed: dict[str, Any]) -> tuple[GridRun, dict[str, Any]]:
    config = TrainConfig(**packed["config"])
    run = GridRun(packed["cell"], packed["members"], config, Path(packed["folder"]))
    return run, {
        "evaluation": EvaluationConfig(**packed["evaluation"]),
        "gradient_draws": packed["gradient_draws"],
        "overwrite": packed["overwrite"],
    }


if __name__ == "__main__":
    sys.exit(main())
