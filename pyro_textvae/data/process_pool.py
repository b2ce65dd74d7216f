# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Work on a stream of items by all cores, with a few items at once in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from pyro_textvae.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 3
"""How many items a worker has waiting or done."""
_MOST_WORKERS = 7
"""Each takes a quarter of a gigabyte, and what is left to one process keeps no more busy."""


def num_workers() -> int:
    """Processes beside this one, so that each of the cores that it may use has one."""
    return min(len(os.sched_getaffinity(0)) - 1, _MOST_WORKERS)


def in_order(
    function: Callable[[Any], Result],
    items: Iterable[Item],
    workers: int,
    sent: Callable[[Item], Any] = lambda item: item,
) -> Iterator[tuple[Item, Result]]:
    """Each item with what ``function`` makes of it, in their order.

    >>> list(in_order(abs, [-1, 2], workers=0))
    [(-1, 1), (2, 2)]

    :param function: of a module, so that another process finds it.
    :param sent: what of an item ``function`` takes; by default all of it.
    :param workers: processes beside this one; 0 for none.
    :raises UserError: where a process was ended from outside; and whatever ``function`` raises.
    """
    if workers < 1:
        for item in items:
            yield item, function(sent(item))
        return
    # Not multiprocessing's pool, whose processes run a script that has no guard once more.
    from joblib.externals import loky

    pool: Any = loky.ProcessPoolExecutor(max_workers=workers)
    waiting: deque[tuple[Item, Any]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, sent(item))))
            if len(waiting) > _AHEAD * workers:
                first, result = waiting.popleft()
                yield first, result.result()
        while waiting:
            first, result = waiting.popleft()
            yield first, result.result()
    except loky.process_executor.BrokenProcessPool:
        raise UserError(
            "a process that read a part of the text was ended from outside, as for want of memory: "
            "free some, and start again"
        ) from None
    finally:
        for _, result in waiting:
            result.cancel()
        pool.shutdown(wait=True, kill_workers=True)
