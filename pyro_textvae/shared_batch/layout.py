# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the sentences of a batch lie in a tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from pyro_textvae.contract import TEXT_FIELDS
from pyro_textvae.shared_batch.share import Share, present_share, sharing
from pyro_textvae.special_tokens import PAD


@dataclass(frozen=True)
class Place:
    """The places of a share in one dimension: ``outer`` blocks, of each a part.

    >>> Place(dim=0, outer=2, first=1, size=2, whole=4).narrow(torch.arange(8)).tolist()
    [1, 2, 5, 6]

    :param dim: the dimension.
    :param outer: how many blocks it has, such as one for each particle.
    :param first: where the share begins in a block of the whole batch.
    :param size: how long the share is in a block.
    :param whole: how long a block of the whole batch is.
    """

    dim: int
    outer: int
    first: int
    size: int
    whole: int

    def whole_shape(self, shape: Sequence[int]) -> list[int]:
        """The shape that the tensor of the whole batch has."""
        return [*shape[: self.dim], self.outer * self.whole, *shape[self.dim + 1 :]]

    def narrow(self, whole: Tensor) -> Tensor:
        """The share of a tensor of the whole batch."""
        blocks = whole.unflatten(self.dim, (self.outer, self.whole))
        part = blocks.narrow(self.dim + 1, self.first, self.size)
        return part.flatten(self.dim, self.dim + 1)

    def spread(self, share: Tensor, fill: float) -> Tensor:
        """A tensor of the whole batch with ``share`` in its places and ``fill`` elsewhere."""
        whole = share.new_full(self.whole_shape(share.shape), fill)
        blocks = whole.unflatten(self.dim, (self.outer, self.whole))
        blocks.narrow(self.dim + 1, self.first, self.size).copy_(
            share.unflatten(self.dim, (self.outer, self.size))
        )
        return whole


class Layout(Protocol):
    """What is known of the tensors of a part of a pass."""

    def find(self, shape: Sequence[int], share: Share) -> Place | None:
        """Where the sentences lie in a tensor of this shape; None where it has none.

        :raises ValueError: where that cannot be told.
        """


@dataclass(frozen=True)
class OfNetwork:
    """Tensors of a network: the sentences come first, or right after the particles."""

    def find(self, shape: Sequence[int], share: Share) -> Place | None:
        """See :class:`Layout`."""
        if not shape:
            return None
        size, particles, inner = share.size, share.num_particles, share.num_inner
        if particles > 1 and list(shape[:2]) == [particles, size]:
            return _dense(1, share)
        if shape[0] == size:
            return _dense(0, share)
        for outer, each in ((1, inner), (particles, 1), (particles, inner)):
            if shape[0] == outer * size * each:
                return _dense(0, share, outer, each)
        # To the left of the particles are values of enumerated sites.
        for dim, length in enumerate(shape):
            if length == size:
                return _dense(dim, share)
        raise ValueError(
            f"random numbers of shape {tuple(shape)} cannot be told apart by the {size} sentences "
            f"that a process has of {share.total}: draw them with the sentences first, or in a "
            "sample statement; or train in one process, without accumulate"
        )


@dataclass(frozen=True)
class OfSite:
    """Draws of a sample statement, whose plates say where the sentences are.

    :param batch_shape: of its distribution.
    :param data_dim: where the plate ``"data"`` is in it; None for a statement outside the plate.
    """

    batch_shape: tuple[int, ...]
    data_dim: int | None

    def find(self, shape: Sequence[int], share: Share) -> Place | None:
        """See :class:`Layout`."""
        if self.data_dim is None:
            return None
        rows, at = list(self.batch_shape), self.data_dim
        for first in range(len(shape) - len(rows) + 1):
            if list(shape[first : first + len(rows)]) == rows:
                return _dense(first + at, share)
        for dim, length in enumerate(shape):
            if length == prod(rows):
                return _dense(dim, share, prod(rows[:at]), prod(rows[at + 1 :]))
        return OfNetwork().find(shape, share)


@dataclass(frozen=True)
class OfMask:
    """Places that a mask ``(*outer, N, *inner, T)`` picks, one after another, come first."""

    outer: int
    first: int
    size: int
    whole: int

    def find(self, shape: Sequence[int], share: Share) -> Place | None:
        """See :class:`Layout`."""
        if shape and shape[0] == self.outer * self.size:
            return Place(0, self.outer, self.first, self.size, self.whole)
        return OfNetwork().find(shape, share)


def _dense(dim: int, share: Share, outer: int = 1, each: int = 1) -> Place:
    return Place(dim, outer, share.start * each, share.size * each, share.total * each)


_LAYOUT: ContextVar[Layout | None] = ContextVar("layout", default=None)
_SCORED: ContextVar[Tensor | None] = ContextVar("scored_text", default=None)
_AT_ONCE: ContextVar[bool] = ContextVar("drawn_for_all_at_once", default=False)


def present_layout() -> Layout:
    """What is known of tensors at present."""
    return _LAYOUT.get() or OfNetwork()


@contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
    """Let tensors within the block be laid out so."""
    before = _LAYOUT.set(layout)
    try:
        yield
    finally:
        _LAYOUT.reset(before)


@contextmanager
def drawn_for_all_at_once() -> Iterator[None]:
    """Within the block one row of weights has a draw for each sentence, as its components have."""
    before = _AT_ONCE.set(True)
    try:
        yield
    finally:
        _AT_ONCE.reset(before)


def is_drawn_for_all_at_once() -> bool:
    """Whether that is so at present."""
    return _AT_ONCE.get()


@contextmanager
def text_scored(value: Tensor) -> Iterator[None]:
    """Let masks within the block be of the words of ``value``, which may be a field of the batch.

    In the sentences of a share one field of text may be as long as another.
    """
    before = _SCORED.set(value)
    try:
        yield
    finally:
        _SCORED.reset(before)


@contextmanager
def rows_of_mask(mask: Tensor) -> Iterator[None]:
    """Within the block the first dimension has the places where ``mask`` is true.

    >>> with rows_of_mask(torch.tensor([[True, False]])):
    ...     present_share() is None
    True

    :param mask: of the words of a field of text, ``(*outer, N, *inner, T)``.
    """
    share = present_share()
    if share is None:
        yield
        return
    with laid_out(_of_mask(mask, share)):
        yield


def can_be_picked(there: Tensor) -> bool:
    """Whether the sentences that ``there`` tells are best computed alone.

    Not where all are there, or none. In a share of a batch it does not hang on that: others may
    have fewer, and random numbers are drawn for as many in a share as in the batch.

    >>> [can_be_picked(torch.tensor([[True, last]])) for last in (True, False)]
    [False, True]

    :param there: which sentences the documents have, ``(N, S)``.
    """
    share = present_share()
    if share is None:
        return 0 < int(there.sum()) < there.numel()
    return _share_of_sentences(share, there) is not None


@contextmanager
def of_sentences(there: Tensor) -> Iterator[None]:
    """Within the block a datum is one of the sentences that ``there`` tells, and no document.

    >>> with of_sentences(torch.tensor([[True, False]])):
    ...     present_share() is None
    True

    :param there: which sentences the documents have, ``(N, S)``.
    """
    share = present_share()
    with sharing(None if share is None else _share_of_sentences(share, there)):
        yield


def _share_of_sentences(share: Share, there: Tensor) -> Share | None:
    for name in TEXT_FIELDS:
        text = share.fields.get(name)
        if text is None or text.is_floating_point() or text.dim() != there.dim() + 1:
            continue
        every = (text != PAD).any(-1)
        own = every[share.start : share.stop].to(there.device)
        # Padded to the width of the batch, a part may have places that none of it fills.
        width = there.shape[-1]
        if torch.equal(own[..., :width], there) and not own[..., width:].any():
            start = int(every[: share.start].sum())
            return replace(
                share,
                start=start,
                stop=start + int(own.sum()),
                total=int(every.sum()),
                fields={name: text[every]},
            )
    return None


def _of_mask(mask: Tensor, share: Share) -> OfMask:
    scored, alike = _SCORED.get(), []
    for name in TEXT_FIELDS:
        text = share.fields.get(name)
        if text is None or text.is_floating_point() or mask.dim() < text.dim():
            continue
        outer = mask.shape[: mask.dim() - text.dim()]
        own = mask.flatten(0, len(outer)).unflatten(0, (-1, mask.shape[len(outer)]))[0]
        counts = _num_scored(text)
        mine = counts[share.start : share.stop]
        if len(own) != share.size or not torch.equal(own.flatten(1).sum(1), mine):
            continue
        before = int(counts[: share.start].sum())
        found = OfMask(prod(outer), before, int(mine.sum()), int(counts.sum()))
        if scored is not None and scored.data_ptr() == text[share.start].data_ptr():
            return found
        alike.append(found)
    if len(set(alike)) > 1:
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} may be that of several fields of text, which are "
            "as long as each other in the sentences that a process has: let the field itself be "
            "what a sample statement observes; or train in one process, without accumulate"
        )
    if alike:
        return alike[0]
    raise ValueError(
        f"a mask of shape {tuple(mask.shape)} is that of no field of text of the batch, so it is "
        "not known how many places the other sentences have: train in one process, without "
        "accumulate"
    )


def _num_scored(text: Tensor) -> Tensor:
    """How many words each datum has to be scored, a row of padding alone counted as ``<eos>``."""
    each = (text != PAD).sum(-1).clamp(min=1)
    return each.reshape(len(text), -1).sum(1)
