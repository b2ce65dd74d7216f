# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Work shared by the processes that ``torchrun`` started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch.distributed

from pyro_textvae.errors import UserError

Item = TypeVar("Item")


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the other processes that ``torchrun`` started, if it did.

    :raises UserError: where the environment names several processes and is not ``torchrun``'s.
    """
    if _world_size() == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # Rows are gathered as Python objects, from the CPU.
    torch.distributed.init_process_group("gloo")
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _world_size() -> int:
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


def gather(own: list[Item]) -> list[Item]:
    """The items of all processes, on every process."""
    _, size = rank_and_size()
    if size == 1:
        return own
    parts: list[list[Item]] = [[] for _ in range(size)]
    torch.distributed.all_gather_object(parts, own)
    return [item for part in parts for item in part]
