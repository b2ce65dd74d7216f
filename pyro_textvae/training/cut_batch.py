# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A batch cut into shares of about as many tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from pyro_textvae.contract import TEXT_FIELDS, TOKENS
from pyro_textvae.shared_batch import Share
from pyro_textvae.special_tokens import PAD


def cut_batch(
    fields: Mapping[str, Tensor],
    rank: int,
    size: int,
    num_parts: int = 1,
    num_particles: int = 1,
) -> list[Share]:
    """The shares of one of several processes, in the order in which it takes them.

    Neighbours stay together. A process that is left without a sentence takes the first one, and it
    is not counted.

    >>> tokens = torch.tensor([[4, 4, 4, 2], [4, 2, 0, 0], [4, 2, 0, 0]])
    >>> for rank in range(2):
    ...     for share in cut_batch({"tokens": tokens}, rank, 2):
    ...         print(share.start, share.stop, share.is_counted)
    0 1 True
    1 3 True

    :param fields: the whole batch.
    :param num_parts: shares of a process, at most: as many as it has sentences.
    :param num_particles: draws of the latents of each sentence. No share has as many sentences,
        where that can be, so that their dimensions can be told apart.
    """
    cost = sum((fields[name] != PAD).flatten(1).sum(1) for name in TEXT_FIELDS if name in fields)
    total = len(fields[TOKENS])
    cost = torch.ones(total) if isinstance(cost, int) else cost.double().cpu()
    avoid = {num_particles} if num_particles > 1 else set()
    ends = _cut(cost, size, avoid)
    start, stop = ends[rank], ends[rank + 1]
    if start == stop:
        return [Share(0, 1, total, fields, num_particles, is_counted=False)]
    inside = _cut(cost[start:stop], min(num_parts, stop - start), avoid)
    return [
        Share(start + first, start + last, total, fields, num_particles, is_part=num_parts > 1)
        for first, last in zip(inside, inside[1:], strict=False)
    ]


def _cut(cost: Tensor, count: int, avoid: Collection[int]) -> list[int]:
    """Ends of parts of about the same cost, from 0 on; each has a row as long as there are some."""
    total = len(cost)
    if total <= count:
        return [min(place, total) for place in range(count + 1)]
    after = cost.cumsum(0)
    wanted = after[-1] * torch.arange(1, count, dtype=after.dtype) / count
    ends = [0, *(torch.searchsorted(after, wanted) + 1).tolist(), total]
    for place in range(1, count):
        ends[place] = min(max(ends[place], ends[place - 1] + 1), total - count + place)
    if not avoid:
        return ends
    for place in range(1, count):
        for moved in (0, 1, -1, 2, -2, 3, -3):
            end = ends[place] + moved
            sizes = {end - ends[place - 1]}
            if place == count - 1:
                sizes.add(total - end)
            if ends[place - 1] < end < ends[place + 1] and not sizes & {*avoid}:
                ends[place] = end
                break
    return ends
