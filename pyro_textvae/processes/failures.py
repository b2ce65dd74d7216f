# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One line of error for all processes, which names the one that it is of."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed

from pyro_textvae.errors import UserError
from pyro_textvae.processes.agreement import gather
from pyro_textvae.processes.group import rank_and_size, store_of_group

_SECONDS = 5.0
"""How long a process waits for what others say of their end."""


class _Terminated(BaseException):
    """The launcher ends the process, as another one has ended."""


@contextmanager
def one_error_line() -> Iterator[None]:
    """Let the processes of a group end with one line of error, whatever ends them.

    An error that all have is raised by the first one alone, another by the lowest rank that has
    it, with its rank; the others end without a word. Where a process is lost, by a kill or by its
    machine, the lowest rank that is left says which.

    :raises UserError: in the process that is to print it.
    :raises SystemExit: in all others.
    """
    rank, size = rank_and_size()
    of_group = store_of_group()
    if size == 1 or of_group is None:
        yield
        return
    processes = gather([(socket.gethostname(), os.getpid())])
    store = torch.distributed.PrefixStore("failures", of_group)
    try:
        with _terminated_by_signal():
            yield
    except UserError as error:
        if not _is_to_say(store, rank, size, str(error)):
            raise SystemExit(2) from error
        alike = [_said(store, other) for other in range(size)].count(str(error)) > 1
        if alike or str(error).startswith("rank "):
            raise
        raise UserError(f"rank {rank} of {size}: {error}") from error
    except (torch.distributed.DistError, RuntimeError, _Terminated) as error:
        if isinstance(error, RuntimeError) and not _is_of_the_group(error):
            _say(store, rank, f"{type(error).__name__}: {error}")
            raise
        was_stopped = isinstance(error, _Terminated)
        raise _of_lost_processes(store, rank, processes, was_stopped=was_stopped) from error


@contextmanager
def _terminated_by_signal() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except BaseException:
        # The launcher may end the others at any time now, and there is a line to be said yet.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
    signal.signal(signal.SIGTERM, before)


def _is_of_the_group(error: BaseException) -> bool:
    """Whether the exchange of the group broke, which torch says by its sources alone."""
    words = ("gloo", "nccl", "connection", "peer", "timed out", "socket", "store")
    return isinstance(error, torch.distributed.DistError) or any(
        word in str(error).lower() for word in words
    )


def _say(store: Any, rank: int, message: str) -> None:
    try:
        store.set(str(rank), message)
    except RuntimeError:
        # The store was the first process's, which has ended.
        return


def _said(store: Any, rank: int) -> str | None:
    try:
        return store.get(str(rank)).decode() if store.check([str(rank)]) else None
    except RuntimeError:
        return None


def _is_to_say(store: Any, rank: int, size: int, message: str) -> bool:
    """Whether no lower rank has an error; those that may still have one are waited for."""
    _say(store, rank, message)
    end = time.monotonic() + (_SECONDS if rank else 0.5)
    while time.monotonic() < end:
        try:
            # Asked once: a lower rank that spoke between two questions would be passed over.
            have_said = [store.check([str(other)]) for other in range(size)]
        except RuntimeError:
            # Without a launcher the store is the first process's, which has ended with its error.
            return False
        if any(have_said[:rank]):
            return False
        if all(have_said):
            break
        time.sleep(0.05)
    return True


def _of_lost_processes(
    store: Any, rank: int, processes: list[tuple[str, int]], *, was_stopped: bool
) -> UserError | SystemExit:
    """The error of a broken exchange: of the one that knows why, or of those that are gone."""
    here = socket.gethostname()
    lost: list[int] = []
    end = time.monotonic() + (1.0 if was_stopped else _SECONDS)
    while time.monotonic() < end:
        if any(_said(store, other) is not None for other in range(len(processes))):
            return SystemExit(2)
        lost = [
            other
            for other, (host, process) in enumerate(processes)
            if host == here and not _is_alive(process)
        ]
        if lost:
            break
        time.sleep(0.05)
    if was_stopped and not lost:
        return SystemExit(128 + signal.SIGTERM)
    left = [r for r, (host, _) in enumerate(processes) if host == here and r not in lost]
    if rank != min(left, default=rank):
        return SystemExit(1)
    who = (
        f"rank {', '.join(map(str, lost))} of {len(processes)} was killed or crashed"
        if lost
        else f"rank {rank} of {len(processes)} no longer hears from a process on another machine"
    )
    return UserError(
        f"{who}: the run goes on from its last checkpoint with train --resume, or by itself under "
        "torchrun --max-restarts"
    )


def _is_alive(process: int) -> bool:
    """Whether there is a process of that number, one that its parent has not asked after aside."""
    status = Path(f"/proc/{process}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return status.read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
