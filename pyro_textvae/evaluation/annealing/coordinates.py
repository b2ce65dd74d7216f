# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which coordinates of the latents are real numbers, and which lie on a sphere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import constraints
from torch import Tensor

from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Latents


@dataclass(frozen=True)
class Part:
    """Coordinates ``start`` to ``stop`` of the last dimension of a site; all where not said.

    inner
        How many plates inside ``"data"`` the site is in.
    """

    site: str
    inner: int
    start: int | None = None
    stop: int | None = None

    def of(self, latents: Latents) -> Tensor:
        """``(K, N, ...)``."""
        value = latents[self.site]
        return value if self.start is None else value[..., self.start : self.stop]


@dataclass(frozen=True)
class Coordinates:
    """The latents of a pair, by what a small step from one value to another is.

    reals
        Parts that take any real number.
    spheres
        Parts that are unit vectors.
    others
        Sites that are neither, such as discrete ones, wholly or in part.
    """

    reals: tuple[Part, ...]
    spheres: tuple[Part, ...]
    others: tuple[str, ...]

    @staticmethod
    def of(posteriors: Posteriors) -> Coordinates:
        """Those of the latents of a batch."""
        kinds: dict[str, list[Part]] = {"real": [], "sphere": [], "other": []}
        for name, (_, prior) in posteriors.distributions.items():
            inner = len(posteriors.inner_sizes[name])
            for part, support in _parts(name, inner, prior):
                kinds[_kind(support)].append(part)
        others = dict.fromkeys(part.site for part in kinds["other"])
        return Coordinates(tuple(kinds["real"]), tuple(kinds["sphere"]), tuple(others))

    @property
    def are_nested(self) -> bool:
        """Whether a sentence may have fewer real coordinates than another in its batch."""
        return any(part.inner for part in self.reals)

    @property
    def real_sites(self) -> list[str]:
        """Names of the sites with real coordinates."""
        return list(dict.fromkeys(part.site for part in self.reals))

    def flat(self, values: Mapping[str, Tensor]) -> Tensor:
        """All real coordinates of latents, or of gradients shaped like them, ``(K, N, D)``."""
        parts = [part.of(values).unsqueeze(-1).flatten(2) for part in self.reals]
        first = next(iter(values.values()))
        return torch.cat(parts, -1) if parts else first.new_zeros((*first.shape[:2], 0))

    def normal(self, latents: Latents, noise: SentenceNoise) -> Tensor:
        """Standard normal numbers in place of the real coordinates, ``(K, N, D)``."""
        parts = [noise.normal_like(part.of(latents), part.inner) for part in self.reals]
        return torch.cat([part.unsqueeze(-1).flatten(2) for part in parts], -1)

    def with_flat(self, latents: Latents, flat: Tensor) -> dict[str, Tensor]:
        """``latents`` with other real coordinates; the inverse of :meth:`flat`."""
        return self.replaced(latents, self._pieces(latents, flat))

    def replaced(
        self, latents: Latents, pieces: Iterator[tuple[Part, Tensor]]
    ) -> dict[str, Tensor]:
        """``latents`` with other values of some parts."""
        new = dict(latents)
        for part, value in pieces:
            if part.start is None:
                new[part.site] = value
            else:
                changed = new[part.site].clone()
                changed[..., part.start : part.stop] = value
                new[part.site] = changed
        return new

    def _pieces(self, latents: Latents, flat: Tensor) -> Iterator[tuple[Part, Tensor]]:
        start = 0
        for part in self.reals:
            shape = part.of(latents).shape
            stop = start + shape[2:].numel()
            yield part, flat[..., start:stop].reshape(shape)
            start = stop


def _parts(name: str, inner: int, fn: Any) -> Iterator[tuple[Part, Any]]:
    try:
        support = fn.support
    except NotImplementedError:
        support = None
    blocks = _blocks(support)
    start = 0
    for block, size in blocks:
        yield Part(name, inner, start, start + size), block
        start += size
    if not blocks:
        yield Part(name, inner), support


def _blocks(support: Any) -> list[tuple[Any, int]]:
    """Supports and sizes of the blocks of a vector that is joined of some."""
    parts, sizes = getattr(support, "parts", None), getattr(support, "sizes", None)
    return list(zip(parts, sizes, strict=True)) if parts and sizes else []


def _kind(support: Any) -> str:
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support is constraints.real:
        return "real"
    return "sphere" if isinstance(support, type(constraints.sphere)) else "other"
