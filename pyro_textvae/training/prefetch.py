# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Batches on the device before they are asked for."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.data.batching import Batch

Place = TypeVar("Place")
Item = TypeVar("Item")

_AHEAD = 2
"""How many items are made, or kept ready, while another is in use."""


def batches_on(
    device: torch.device, plan: Sequence[np.ndarray], make: Callable[[np.ndarray], Batch]
) -> Generator[Batch, None, None]:
    """The batch of each entry of ``plan``, in order, where the model is.

    On the CPU each is made when it is asked for. For a GPU a thread makes the next ones in
    page-locked memory, and they are copied while the GPU computes: the host never waits for the
    device. Close it (``contextlib.closing``) when leaving early, so that the thread
    ends.

    :raises Exception: whatever ``make`` raises, at the entry it was raised for.
    """
    if device.type != "cuda":
        yield from map(make, plan)
        return

    def make_pinned(indices: np.ndarray) -> Batch:
        with torch.cuda.device(device):
            batch = make(indices)
            return _with(batch, {name: value.pin_memory() for name, value in batch.items()})

    copying = torch.cuda.Stream(device)
    with closing(made_ahead(make_pinned, plan)) as made:
        for batch in made:
            with torch.cuda.stream(copying):
                moved = _with(
                    batch, {n: value.to(device, non_blocking=True) for n, value in batch.items()}
                )
            computing = torch.cuda.current_stream(device)
            computing.wait_stream(copying)
            for value in moved.values():
                # The copy's memory is the other stream's, which must not reuse it too soon.
                value.record_stream(computing)
            yield moved


def made_ahead(make: Callable[[Place], Item], plan: Sequence[Place]) -> Generator[Item, None, None]:
    """``map(make, plan)``, with the next items made by a thread while one is in use."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
    try:
        places = iter(plan)
        ready = deque(pool.submit(make, place) for place in islice(places, _AHEAD))
        while ready:
            item = ready.popleft().result()
            ready.extend(pool.submit(make, place) for place in islice(places, 1))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


def without_waiting(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on ``device``, copied in the order of its work, while the host goes on."""
    if device.type != "cuda":
        return {name: value.to(device) for name, value in batch.items()}
    return {
        name: value if value.is_cuda else value.pin_memory().to(device, non_blocking=True)
        for name, value in batch.items()
    }


def _with(batch: Batch, values: dict[str, Tensor]) -> Batch:
    """A copy of the batch with these tensors in the place of its own; its indices stay."""
    changed = copy.copy(batch)
    changed.update(values)
    return changed
