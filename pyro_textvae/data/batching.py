# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Batches of sentences of similar cost, re-drawn every epoch from seed and epoch alone."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.contract import TEXT_FIELDS
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import PAD

DEFAULT_BATCH_SIZE = 32
# Sentences whose costs differ by less than this share are exchanged between batches.
COST_NOISE = 0.1


class Batch(dict[str, Tensor]):
    """The fields of some sentences, as keywords of a model's call, with the datum first.

    ``tokens`` ``(N, T)`` int64, of documents ``(N, S, T)`` with rows of padding where there is no
    further sentence, and where the corpus has them ``source`` ``(N, S)`` int64 and ``labels``
    ``(N,)`` int64, -1 where the label is not given.

    >>> batch = Batch({"tokens": pad([[4, 5, 2], [6, 2]])}, torch.tensor([3, 8]))
    >>> batch["tokens"].shape, batch.text_fields
    (torch.Size([2, 3]), ('tokens',))

    :param fields: the tensors by name.
    :param indices: which sentences of the split these are, ``(N,)``.
    :param text_fields: names of the fields that are ids, padded on the right with ``<pad>``; by
        default those of the contract that are among ``fields``.
    """

    def __init__(
        self,
        fields: Mapping[str, Tensor],
        indices: Tensor,
        text_fields: Sequence[str] | None = None,
    ) -> None:
        super().__init__(fields)
        self.indices = indices
        names = TEXT_FIELDS if text_fields is None else text_fields
        self.text_fields = tuple(name for name in names if name in fields)


def pad(rows: Sequence[Tensor | Sequence[int]]) -> Tensor:
    """Stack rows of ids into ``(N, T)`` int64, padded on the right with ``<pad>`` to the longest.

    >>> pad([[4, 5, 2], [6, 2]])
    tensor([[4, 5, 2],
            [6, 2, 0]])

    :raises UserError: for no rows at all.
    """
    if not len(rows):
        raise UserError("pad needs at least one row")
    tensors = [torch.as_tensor(row, dtype=torch.int64) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)


def plan_batches(
    lengths: np.ndarray,
    batch_size: int | None = None,
    *,
    max_tokens: int | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
) -> list[np.ndarray]:
    """The sentence indices of every batch; each sentence is in exactly one.

    With ``shuffle``, costs are alike within a batch, and membership and order depend on ``(seed,
    epoch)`` only; without it the order is by cost, then index.

    >>> [batch.tolist() for batch in plan_batches(np.array([3, 1, 2, 1]), 2, shuffle=False)]
    [[1, 3], [2, 0]]
    >>> text_and_source = np.array([[3, 9], [1, 2], [2, 2], [1, 9]])
    >>> [batch.tolist() for batch in plan_batches(text_and_source, max_tokens=24, shuffle=False)]
    [[1, 2], [3, 0]]

    :param lengths: tokens of each sentence ``(N,)``, or of each of its fields ``(N, F)``, whose sum
        is what the sentence costs.
    :param batch_size: sentences in a batch; by default 32.
    :param max_tokens: instead, as many sentences as keep their tokens within it, those of all
        fields and padding counted; a longer sentence stands alone.
    :param seed: of the draws of all epochs.
    :param epoch: which of them.
    :param shuffle: whether to draw at all.
    :raises UserError: for sizes below 1, or both sizes.
    """
    check_plan(batch_size, max_tokens, seed, epoch, shuffle)
    lengths = np.asarray(lengths)
    if not len(lengths):
        return []
    by_field = lengths.reshape(len(lengths), -1)
    cost = by_field.sum(1)
    random = np.random.default_rng([seed, epoch])
    if shuffle:
        noise = random.random((2, len(cost)))
        # In place: of a large corpus, each copy is as large as the lengths.
        noise[0] *= COST_NOISE
        noise[0] += 1
        noise[0] *= cost
        noise[0] += noise[1]
        order = np.argsort(noise[0], kind="stable")
        del noise
    else:
        order = np.argsort(cost, kind="stable")
    del cost
    sizes = None
    if max_tokens is not None:
        sizes = sizes_within(by_field[order], max_tokens, lambda longest: longest.sum(1))
    return split_order(order, sizes, batch_size, random if shuffle else None)


def check_plan(
    batch_size: int | None, max_tokens: int | None, seed: int, epoch: int, shuffle: bool
) -> None:
    """Refuse what no plan of batches can be made by.

    :raises UserError: for sizes below 1, or both sizes.
    """
    if batch_size is not None and max_tokens is not None:
        raise UserError(
            f"batch_size={batch_size} and max_tokens={max_tokens} exclude each other; give one"
        )
    for name, value in (("batch_size", batch_size), ("max_tokens", max_tokens)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UserError(f"{name}={value!r} must be a whole number of at least 1")
    for name, value in (("seed", seed), ("epoch", epoch)):
        if not isinstance(value, int) or value < 0:
            raise UserError(f"{name}={value!r} must be a whole number of at least 0")
    if not isinstance(shuffle, bool):
        raise UserError(f"shuffle={shuffle!r} must be True or False")


def split_order(
    order: np.ndarray,
    sizes: np.ndarray | None,
    batch_size: int | None,
    random: np.random.Generator | None,
) -> list[np.ndarray]:
    """Cut an order of the data into batches, and shuffle those.

    :param sizes: of the batches; None for ``batch_size`` each, by default 32.
    :param random: for the order of the batches; None to leave it.
    """
    if sizes is None:
        size = batch_size or DEFAULT_BATCH_SIZE
        full, rest = divmod(len(order), size)
        sizes = np.array([size] * full + [rest] * bool(rest), dtype=np.int64)
        if random is not None:
            # Otherwise the one small batch would always hold the longest sentences.
            random.shuffle(sizes)
    batches = np.split(order, np.cumsum(sizes)[:-1])
    if random is not None:
        return [batches[index] for index in random.permutation(len(batches))]
    return batches


def sizes_within(
    ordered: np.ndarray, max_tokens: int, places: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The sizes of batches of neighbours, each as large as keeps its places within a number.

    >>> sizes_within(np.array([[2], [3], [3], [9]]), 6, lambda longest: longest.sum(1)).tolist()
    [2, 1, 1]

    :param ordered: the sizes of each datum in the order of the data, ``(N, F)``.
    :param max_tokens: most places of a batch; a larger datum stands alone.
    :param places: those of one datum of a batch with these longest sizes, ``(n, F)`` to ``(n,)``.
    """
    sizes = array("q")
    alone = places(ordered)
    counting = np.arange(1, max_tokens // max(1, int(alone.min())) + 2)
    first = 0
    while first < len(ordered):
        # Padding makes no datum smaller, so no more than these can fit.
        most = max_tokens // max(1, int(alone[first]))
        count = 1
        if most > 1:
            rows = ordered[first : first + most]
            needed = places(np.maximum.accumulate(rows)) * counting[: len(rows)]
            count = max(1, int(needed.searchsorted(max_tokens, side="right")))
        sizes.append(count)
        first += count
    return np.frombuffer(sizes, dtype=np.int64).copy()
