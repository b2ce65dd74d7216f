# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Random numbers of each sentence's own, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from pyro_textvae.evaluation.families.family import seeded_generators
from pyro_textvae.evaluation.sentences import seed_of


class SentenceNoise:
    """A stream of random numbers for each of N sentences: those of one depend on its seed alone."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = seeded_generators(seeds, torch.device("cpu"))

    def rows(self, chosen: Tensor) -> SentenceNoise:
        """The streams of some of the sentences, which go on where they are."""
        some = SentenceNoise([])
        some._generators = [self._generators[row] for row in chosen.tolist()]
        return some

    def normal_like(self, value: Tensor, inner: int = 0) -> Tensor:
        """Standard normal, of the shape ``(K, N, *inner, *event)`` of ``value``.

        :param inner: how many dimensions have places that another batch may not have. The numbers
            of a place do not depend on the others.
        """
        places, shape = value.shape[2 : 2 + inner], (len(value), *value.shape[2 + inner :])
        if not inner:
            columns = [torch.randn(shape, generator=g, dtype=value.dtype) for g in self._generators]
            return torch.stack(columns, 1).to(value.device)
        new = torch.empty(value.shape, dtype=value.dtype)
        for row, seed in enumerate(self.seeds()):
            for place in product(*(range(size) for size in places)):
                generator = torch.Generator().manual_seed(seed_of(seed, *place))
                drawn = torch.randn(shape, generator=generator, dtype=value.dtype)
                new[:, row].movedim(0, inner)[place] = drawn
        return new.to(value.device)

    def uniform(self, count: int, device: torch.device) -> Tensor:
        """Uniform on [0, 1), ``(count, N)`` float64."""
        columns = [torch.rand(count, generator=g, dtype=torch.float64) for g in self._generators]
        return torch.stack(columns, 1).to(device)

    def seeds(self) -> list[int]:
        """A seed for each sentence."""
        return [int(torch.randint(2**62, (), generator=g)) for g in self._generators]
