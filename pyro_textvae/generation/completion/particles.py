# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Weighted beginnings of sentences of different lengths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyro_textvae.generation.completion.thinning import thin
from pyro_textvae.special_tokens import PAD


@dataclass(frozen=True, eq=False)
class Particles:
    """Beginnings of sentences with what they weigh.

    rows
        Whose latents each is given, ``(n,)``.
    words
        Ids ``(n, T)``, ``<pad>`` after the end.
    lengths
        How many of them there are, ``(n,)``.
    log_weights
        ``(n,)`` float64.
    lineage
        What each descends from: those with one number are no independent draws, ``(n,)``.
    """

    rows: Tensor
    words: Tensor
    lengths: Tensor
    log_weights: Tensor
    lineage: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, index: Tensor) -> Particles:
        """Some of them, in any order, repeated or not."""
        return Particles(
            self.rows[index],
            self.words[index],
            self.lengths[index],
            self.log_weights[index],
            self.lineage[index],
        )

    def weighing(self, log_weights: Tensor) -> Particles:
        """The same with other weights."""
        return replace(self, log_weights=log_weights)

    def thinned(self, number: int) -> Particles:
        """About ``number`` of them in their place; see :func:`thin`."""
        kept, log_weights = thin(self.log_weights, number)
        chosen = self.select(kept).weighing(log_weights)
        return chosen.with_lineages() if len(kept) < len(self) else chosen

    def multiplied(self, number: int) -> Particles:
        """Each as often as makes about ``number``, with a share of its weight."""
        times = number // max(len(self), 1)
        if times <= 1:
            return self
        index = torch.arange(len(self), device=self.rows.device).repeat(times)
        many = self.select(index)
        return many.weighing(many.log_weights - math.log(times)).with_lineages()

    def by_length(self) -> Iterator[tuple[int, Particles]]:
        """Those of one length together."""
        for length in self.lengths.unique().tolist():
            yield length, self.select((self.lengths == length).nonzero(as_tuple=True)[0])

    def with_lineages(self) -> Particles:
        """After a draw: where all come from one, as without a latent, independence begins here."""
        if len(self) and bool((self.lineage == self.lineage[0]).all()):
            return replace(self, lineage=torch.arange(len(self), device=self.rows.device))
        return self

    @staticmethod
    def together(parts: Iterable[Particles]) -> Particles:
        """All of some particles."""
        parts = list(parts)
        width = max(part.words.shape[1] for part in parts)
        words = [
            torch.nn.functional.pad(part.words, (0, width - part.words.shape[1]), value=PAD)
            for part in parts
        ]
        return Particles(
            torch.cat([part.rows for part in parts]),
            torch.cat(words),
            torch.cat([part.lengths for part in parts]),
            torch.cat([part.log_weights for part in parts]),
            torch.cat([part.lineage for part in parts]),
        )
