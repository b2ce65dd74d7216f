# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The group of processes that ``torchrun`` started, and sums over it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from pyro_textvae.errors import UserError

_STEP_SECONDS = 60
"""How long a sum of a training step waits for a process of which nothing is heard."""

_of_steps: torch.distributed.ProcessGroup | None = None
_store: torch.distributed.Store | None = None


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the other processes that ``torchrun`` started, if it did.

    Objects are exchanged by the processors (gloo), and tensors of a GPU by nccl.

    :raises UserError: where the environment names several processes and is not ``torchrun``'s, or
        one of them is not reached.
    """
    global _of_steps, _store
    if world_size() == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(_local_rank() % torch.cuda.device_count())
    nccl = torch.cuda.is_available() and torch.distributed.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
    try:
        store, rank, size = next(rendezvous("env://"))
        # Where a restart takes the same store, what killed processes left in it is not taken up.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0"
        _store = torch.distributed.PrefixStore(f"attempt {attempt}", store)
        torch.distributed.init_process_group(backend, store=_store, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"rank {os.environ['RANK']} did not reach the other processes by "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} "
            f"({str(error).splitlines()[0]})"
        ) from error
    _of_steps = torch.distributed.new_group(timeout=timedelta(seconds=_STEP_SECONDS))
    try:
        yield
    finally:
        _of_steps, _store = None, None
        torch.distributed.destroy_process_group()


def world_size() -> int:
    """How many processes the environment names.

    :raises UserError: where it names several and is not ``torchrun``'s.
    """
    given = os.environ.get("WORLD_SIZE") or "1"
    advice = "unset WORLD_SIZE, or start the command with torchrun"
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"WORLD_SIZE must be a number of processes, got {given!r}: {advice}")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        if int(given) > 1 and not os.environ.get(name):
            raise UserError(f"WORLD_SIZE is {given} and {name} is not set: {advice}")
    return int(given)


def rank_and_size() -> tuple[int, int]:
    """The number of the process and how many there are; ``(0, 1)`` outside of ``torchrun``."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def local_device() -> torch.device:
    """The GPU that is this process's among those of its machine; the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", _local_rank() % torch.cuda.device_count())


def store_of_group() -> torch.distributed.Store | None:
    """Where the processes leave each other words; None outside of :func:`joined_processes`."""
    return _store


def launch_name() -> str | None:
    """What tells the launch that the process is of from others; None outside of ``torchrun``.

    It is the same after a restart by ``torchrun --max-restarts``, whose process goes on.
    """
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if run is None else f"{run} {os.getppid()}"


def sum_of_all(values: Tensor) -> Tensor:
    """``values``, to which those of all other processes have been added in place."""
    if rank_and_size()[1] > 1:
        torch.distributed.all_reduce(values, group=_of_steps)
    return values


def sums_of_all(tensors: Sequence[Tensor], *, maximum: bool = False) -> None:
    """As :func:`sum_of_all`, of several tensors at once.

    :param maximum: take the largest value of any process in the place of the sum.
    """
    kind = torch.distributed.ReduceOp.MAX if maximum else torch.distributed.ReduceOp.SUM
    waiting = [
        torch.distributed.all_reduce(tensor, kind, group=_of_steps, async_op=True)
        for tensor in tensors
    ]
    for work in waiting:
        work.wait()


def second_group() -> torch.distributed.ProcessGroup | None:
    """A group of the same processes, whose sums have an order of their own; None for one process.

    All processes ask for it at the same place.
    """
    if rank_and_size()[1] == 1:
        return None
    return torch.distributed.new_group(timeout=timedelta(seconds=_STEP_SECONDS))


def begin_sum(values: Tensor, group: torch.distributed.ProcessGroup | None) -> Any:
    """Begin to add those of all other processes to ``values``, in place; what comes back waits."""
    return torch.distributed.all_reduce(values, group=group, async_op=True)


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK") or 0)
