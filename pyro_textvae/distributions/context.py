# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a distribution over sentences is conditioned on: a latent vector and a source text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.distributions.shape import Shape

_ALL = (slice(None), slice(None))


@dataclass(frozen=True, eq=False)
class Memory:
    """An encoded source text: what a decoder attends to and copies from.

    >>> states, ids = torch.randn(2, 5, 8), torch.randint(3, 9, (2, 5))
    >>> memory = Memory(states, mask=ids > 0, ids=ids)
    >>> memory.batch_shape
    torch.Size([2])
    >>> memory.expand((100, 2)).states.untyped_storage().nbytes() == 2 * 5 * 8 * 4
    True

    :param states: one vector for each place of the source, ``(*B, S, H)``.
    :param mask: true at the places that hold a word, ``(*B, S)``.
    :param ids: the source's token ids, ``(*B, S)`` int64, for decoders that copy.
    :raises ValueError: for shapes that do not agree, or a mask or ids of another type.
    """

    states: Tensor
    mask: Tensor
    ids: Tensor

    def __post_init__(self) -> None:
        places = self.states.shape[:-1]
        if self.states.dim() < 2 or self.mask.shape != places or self.ids.shape != places:
            raise ValueError(
                "a memory has states (*B, S, H), mask (*B, S) and ids (*B, S), got "
                f"{tuple(self.states.shape)}, {tuple(self.mask.shape)} and {tuple(self.ids.shape)}"
            )
        if self.mask.dtype != torch.bool or self.ids.dtype != torch.long:
            raise ValueError(
                "a memory's mask must be boolean and its ids int64, got "
                f"{self.mask.dtype} and {self.ids.dtype}"
            )

    @property
    def batch_shape(self) -> torch.Size:
        """``B``, the shape of the states without their last two dimensions."""
        return torch.Size(self.states.shape[:-2])

    def expand(self, batch_shape: Shape) -> Memory:
        """The same memory for more rows: views, which take no storage of their own."""
        shape = torch.Size(batch_shape)
        return self._of_each(lambda part, batch_dim: part.expand(shape + part.shape[batch_dim:]))

    def flatten(self) -> Memory:
        """The memory with one batch dimension: rows that are repeated share their states."""
        size = self.batch_shape.numel()
        distinct = self.distinct()
        count = distinct.batch_shape.numel()
        if 0 < count < size:
            places = torch.arange(count, device=self.ids.device).reshape(distinct.batch_shape)
            return SharedMemory(distinct.flatten(), places.expand(self.batch_shape).reshape(size))
        return self._of_each(lambda part, batch_dim: part.reshape(size, *part.shape[batch_dim:]))

    def index_select(self, rows: Tensor) -> Memory:
        """The given rows of a memory with one batch dimension; ``rows`` is int64 ``(M,)``."""
        return self._of_each(lambda part, _: part.index_select(0, rows))

    def at(self, places: tuple[Tensor, ...]) -> Memory:
        """The rows at some places of the last batch dimensions; those of expanded dims are shared.

        :param places: int64 ``(M,)`` for each of these dimensions.
        """
        left = self.batch_shape[: -len(places)]
        distinct = self.distinct()
        shape = self.batch_shape[len(left) :]
        distinct = distinct.expand(torch.broadcast_shapes(distinct.batch_shape, shape))
        return distinct._pick(places).expand((*left, len(places[0])))

    def _pick(self, places: tuple[Tensor, ...]) -> Memory:
        index: Any = (..., *places)
        return self._of_each(lambda part, batch_dim: part[(*index, *_ALL[batch_dim:])])

    def distinct(self) -> Memory:
        """The memory before it was expanded; its batch shape broadcasts to the present one.

        What a decoder makes of the states alone, keys and values say, is best made of these: once
        for all draws of z that share a source.
        """
        parts = (self.states, self.mask, self.ids)
        first = tuple(
            slice(1 if all(part.stride(dim) == 0 for part in parts) else size)
            for dim, size in enumerate(self.batch_shape)
        )
        memory = self.map(lambda part: part[first])
        shape = _without_leading_ones(memory.batch_shape)
        return memory._of_each(lambda part, batch_dim: part.reshape(shape + part.shape[batch_dim:]))

    def map(self, function: Callable[[Tensor], Tensor]) -> Memory:
        """The memory with ``function`` applied to each of its tensors."""
        return self._of_each(lambda part, _: function(part))

    def _of_each(self, function: Callable[[Tensor, int], Tensor]) -> Memory:
        """Apply ``function(part, batch_dim)``, where event dimensions begin at ``batch_dim``."""
        return Memory(function(self.states, -2), function(self.mask, -1), function(self.ids, -1))


class SharedMemory(Memory):
    """Rows of a memory, several of one source: its states are copied only where they are asked for.

    K draws for a source hold its states once while they are generated word by word.

    >>> ids = torch.randint(3, 9, (2, 5))
    >>> memory = SharedMemory(Memory(torch.randn(2, 5, 8), ids > 0, ids), torch.tensor([0, 1, 0]))
    >>> memory.batch_shape, memory.states.shape
    (torch.Size([3]), torch.Size([3, 5, 8]))

    :param sources: a memory with one batch dimension.
    :param rows: int64 ``(*B,)``, the source of each row.
    """

    sources: Memory
    rows: Tensor

    def __init__(self, sources: Memory, rows: Tensor) -> None:
        # The only way to set what is frozen.
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "rows", rows)

    @cached_property
    def states(self) -> Tensor:
        """A copy for each row, ``(*B, S, H)``."""
        return self._of_rows(self.sources.states)

    @cached_property
    def mask(self) -> Tensor:
        """True at the places that hold a word, ``(*B, S)``."""
        return self._of_rows(self.sources.mask)

    @cached_property
    def ids(self) -> Tensor:
        """The source's token ids, ``(*B, S)``."""
        return self._of_rows(self.sources.ids)

    @property
    def batch_shape(self) -> torch.Size:
        """``B``."""
        return self.rows.shape

    @cached_property
    def groups(self) -> tuple[Tensor, Tensor] | None:
        """Where all N sources have K rows: those of each ``(K, N)``, and the place of each row
        among all ``(K N,)``; None otherwise.
        """
        rows = self.rows.reshape(-1)
        counts = torch.bincount(rows, minlength=len(self.sources.ids)).tolist()
        if len(set(counts)) != 1:
            return None
        by_source = rows.argsort(stable=True).reshape(-1, counts[0])
        rows_of = by_source.T.contiguous()
        return rows_of, rows_of.reshape(-1).argsort()

    def expand(self, batch_shape: Shape) -> Memory:
        """The same memory for more rows, which share what these share."""
        return SharedMemory(self.sources, self.rows.expand(torch.Size(batch_shape)))

    def flatten(self) -> Memory:
        """The memory with one batch dimension, whose rows share what these share."""
        return SharedMemory(self.sources, self.rows.reshape(-1)) if self.rows.dim() != 1 else self

    def distinct(self) -> Memory:
        """The memory before it was expanded; its batch shape broadcasts to the present one."""
        first = tuple(
            slice(1 if self.rows.stride(dim) == 0 else size)
            for dim, size in enumerate(self.rows.shape)
        )
        rows = self.rows[first]
        return SharedMemory(self.sources, rows.reshape(_without_leading_ones(rows.shape)))

    def index_select(self, rows: Tensor) -> Memory:
        """The given rows of a memory with one batch dimension, which share what these share."""
        return SharedMemory(self.sources, self.rows.index_select(0, rows))

    def _pick(self, places: tuple[Tensor, ...]) -> Memory:
        index: Any = (..., *places)
        return SharedMemory(self.sources, self.rows[index])

    def map(self, function: Callable[[Tensor], Tensor]) -> Memory:
        """The memory with ``function`` applied to each tensor of the sources."""
        return SharedMemory(self.sources.map(function), self.rows)

    def _of_rows(self, part: Tensor) -> Tensor:
        copies = part.index_select(0, self.rows.reshape(-1))
        return copies.reshape(self.rows.shape + part.shape[1:])


@dataclass(frozen=True, eq=False, init=False)
class Context:
    """All that a sentence is conditioned on, with one batch shape for all of it.

    The parts are expanded, by views, to the shape that they broadcast to: z of K draws for each of
    N sentences and a memory of the N sources have the batch shape ``(K, N)``, and the source's
    states are still stored once.

    >>> ids = torch.randint(3, 9, (2, 5))
    >>> context = Context(torch.randn(100, 2, 3), Memory(torch.randn(2, 5, 8), ids > 0, ids))
    >>> context.batch_shape, context.memory.states.shape
    (torch.Size([100, 2]), torch.Size([100, 2, 5, 8]))
    >>> Context().batch_shape
    torch.Size([])

    :param z: the latent vector, ``(*B, D)``; None for a decoder without one.
    :param memory: the encoded source text; None for a decoder without one.
    :param batch_shape: to expand the parts to; by default what they broadcast to.
    :raises ValueError: for parts that do not broadcast.
    """

    z: Tensor | None
    memory: Memory | None
    batch_shape: torch.Size

    def __init__(
        self,
        z: Tensor | None = None,
        memory: Memory | None = None,
        batch_shape: Shape | None = None,
    ) -> None:
        if batch_shape is None:
            batch_shape = _common_batch_shape(z, memory)
        shape = torch.Size(batch_shape)
        if z is not None and z.shape[:-1] != shape:
            z = z.expand(shape + z.shape[-1:])
        if memory is not None and memory.batch_shape != shape:
            memory = memory.expand(shape)
        # The only way to set what is frozen.
        object.__setattr__(self, "z", z)
        object.__setattr__(self, "memory", memory)
        object.__setattr__(self, "batch_shape", shape)

    def expand(self, batch_shape: Shape) -> Context:
        """The same context for more rows: views, which take no storage of their own."""
        shape = torch.Size(batch_shape)
        # Even where z has the shape already: the order in which its gradients are added up, and so
        # their last bit, depends on whether there is a view.
        z = None if self.z is None else self.z.expand(shape + self.z.shape[-1:])
        return Context(z, self.memory, shape)

    def flatten(self) -> Context:
        """The context with one batch dimension; copies only where rows are repeated."""
        size = self.batch_shape.numel()
        z = None if self.z is None else self.z.reshape(size, self.z.shape[-1])
        return Context(z, None if self.memory is None else self.memory.flatten(), (size,))

    def index_select(self, rows: Tensor) -> Context:
        """The given rows of a context with one batch dimension; ``rows`` is int64 ``(M,)``."""
        z = None if self.z is None else self.z.index_select(0, rows)
        memory = None if self.memory is None else self.memory.index_select(rows)
        return Context(z, memory, rows.shape)

    def at(self, places: tuple[Tensor, ...]) -> Context:
        """The rows at some places of the last batch dimensions, ``(*left, M)``.

        >>> there = torch.tensor([[True, True], [True, False]])
        >>> Context(torch.randn(10, 2, 2, 3)).at(there.nonzero(as_tuple=True)).batch_shape
        torch.Size([10, 3])

        :param places: int64 ``(M,)`` for each of these dimensions.
        """
        index: Any = (..., *places, slice(None))
        z = None if self.z is None else self.z[index]
        memory = None if self.memory is None else self.memory.at(places)
        return Context(z, memory, (*self.batch_shape[: -len(places)], len(places[0])))

    def distinct(self) -> Context:
        """The context without the rows that are repetitions, where there is no z.

        Its batch shape broadcasts to the present one. Draws of z are rows of their own.
        """
        if self.z is not None:
            return self
        return Context(None, None if self.memory is None else self.memory.distinct())

    def map(self, function: Callable[[Tensor], Tensor]) -> Context:
        """The context with ``function`` applied to each of its tensors."""
        z = None if self.z is None else function(self.z)
        memory = None if self.memory is None else self.memory.map(function)
        return Context(z, memory, self.batch_shape)


def as_context(context: Context | Tensor | None) -> Context:
    """A context of z alone for a tensor, an empty one for None."""
    return context if isinstance(context, Context) else Context(context)


def _common_batch_shape(z: Tensor | None, memory: Memory | None) -> torch.Size:
    if memory is None:
        return torch.Size() if z is None else z.shape[:-1]
    if z is None:
        return memory.batch_shape
    try:
        return torch.broadcast_shapes(z.shape[:-1], memory.batch_shape)
    except RuntimeError as error:
        raise ValueError(
            f"z is for sentences {tuple(z.shape[:-1])} and the memory for "
            f"{tuple(memory.batch_shape)}, which do not broadcast"
        ) from error


def _without_leading_ones(shape: Sequence[int]) -> torch.Size:
    first = next((dim for dim, size in enumerate(shape) if size != 1), len(shape))
    return torch.Size(shape[first:])
