# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Batches of sentences of similar length, re-drawn every epoch from seed and epoch alone."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.errors import UserError

DEFAULT_BATCH_SIZE = 32
# Sentences whose lengths differ by less than this share are exchanged between batches.
_LENGTH_NOISE = 0.1


class Batch(dict[str, Tensor]):
    """The keywords of a model call, `tokens` (N, T) int64, and `.indices` (N,) in the split."""

    def __init__(self, tokens: Tensor, indices: Tensor) -> None:
        super().__init__(tokens=tokens)
        self.indices = indices


def pad(rows: Sequence[Tensor | Sequence[int]]) -> Tensor:
    """Stack rows of ids into (N, T) int64, padded on the right with `<pad>` 0 to the longest."""
    if not len(rows):
        raise UserError("pad needs at least one row")
    tensors = [torch.as_tensor(row, dtype=torch.int64) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=0)


def plan_batches(
    lengths: np.ndarray,
    batch_size: int | None = None,
    *,
    max_tokens: int | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
) -> list[np.ndarray]:
    """Return the sentence indices of every batch; each sentence is in exactly one.

    A batch holds `batch_size` sentences (default 32), or, given `max_tokens` instead, as many as
    keep sentences x longest row within it; a longer sentence stands alone. With `shuffle`, lengths
    are alike within a batch, and membership and order depend on `(seed, epoch)` only; without it
    the order is by length, then index. Raises `UserError` for sizes below 1 or both sizes.
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
    lengths = np.asarray(lengths)
    if not len(lengths):
        return []
    random = np.random.default_rng([seed, epoch])
    if shuffle:
        noise = random.random((2, len(lengths)))
        order = np.argsort(lengths * (1 + _LENGTH_NOISE * noise[0]) + noise[1], kind="stable")
    else:
        order = np.argsort(lengths, kind="stable")
    if max_tokens is not None:
        sizes = _sizes_within(lengths[order], max_tokens)
    else:
        size = batch_size or DEFAULT_BATCH_SIZE
        full, rest = divmod(len(order), size)
        sizes = np.array([size] * full + [rest] * bool(rest), dtype=np.int64)
        if shuffle:
            # Otherwise the one small batch would always hold the longest sentences.
            random.shuffle(sizes)
    batches = np.split(order, np.cumsum(sizes)[:-1])
    if shuffle:
        return [batches[index] for index in random.permutation(len(batches))]
    return batches


def _sizes_within(ordered_lengths: np.ndarray, max_tokens: int) -> np.ndarray:
    sizes: list[int] = []
    count = longest = 0
    for length in ordered_lengths.tolist():
        longest = max(longest, length)
        if count and (count + 1) * longest > max_tokens:
            sizes.append(count)
            count, longest = 0, length
        count += 1
    return np.array([*sizes, count], dtype=np.int64)
