# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What all processes must have alike, and what the first one says to the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch.distributed
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.processes.group import rank_and_size

Item = TypeVar("Item")


def gather(own: list[Item]) -> list[Item]:
    """The items of all processes, on every process."""
    _, size = rank_and_size()
    if size == 1:
        return own
    parts: list[list[Item]] = [[] for _ in range(size)]
    torch.distributed.all_gather_object(parts, own)
    return [item for part in parts for item in part]


def of_the_first(value: Item) -> Item:
    """What the first process has, on every process."""
    if rank_and_size()[1] == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box)
    return box[0]


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Write the first process's values into the tensors of every process."""
    if rank_and_size()[1] == 1:
        return
    for tensor in tensors:
        torch.distributed.broadcast(tensor.detach(), 0)


@contextmanager
def together() -> Iterator[None]:
    """A block at whose end all processes have come through, or none goes on.

    :raises UserError: on every process, where the block raised one on any: the message that all
        have, or the first one's with its rank.
    """
    message, error = None, None
    try:
        yield
    except UserError as raised:
        message, error = str(raised), raised
    rank, size = rank_and_size()
    messages = gather([message])
    failed = [at for at, text in enumerate(messages) if text is not None]
    if not failed:
        return
    if len(failed) == size and len({*messages}) == 1 and error is not None:
        raise error
    first = failed[0]
    if error is not None and rank == first and size == 1:
        raise error
    raise UserError(f"rank {first} of {size}: {messages[first]}") from error


def check_same(facts: Mapping[str, str]) -> None:
    """Refuse processes that differ in what must be the same.

    :param facts: by their names.
    :raises UserError: on every process, with the first fact that differs, its rank and the values.
    """
    of_all = gather([dict(facts)])
    for rank, others in enumerate(of_all):
        for name, value in of_all[0].items():
            if others.get(name) != value:
                raise UserError(
                    f"rank {rank} has another {name} than rank 0, {others.get(name)} in the place "
                    f"of {value}: all processes must train the same run"
                )
