# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The documents of a packed store: rows of ids, and which of them make a document."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from pyro_textvae.data.store import Rows


class DocumentRows:
    """Documents of one row a sentence, memory-mapped as a ``SplitWriter`` wrote them.

    :param folder: where the files are.
    :param stem: what they are called.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._rows = Rows(folder, stem)
        self._offsets = np.load(folder / f"{stem}.documents.npy", mmap_mode="r")
        self.num_sentences: np.ndarray = np.diff(self._offsets)
        """Sentences of every document."""

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def num_ids(self) -> int:
        """Ids of all documents together."""
        return self._rows.num_ids

    @cached_property
    def lengths(self) -> np.ndarray:
        """Ids of every document."""
        return self._over_sentences(np.add)

    @cached_property
    def longest(self) -> np.ndarray:
        """Ids of the longest sentence of every document."""
        return self._over_sentences(np.maximum)

    def _over_sentences(self, reduce: np.ufunc) -> np.ndarray:
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        return np.asarray(reduce.reduceat(self._rows.lengths, self._offsets[:-1]))

    def row(self, position: int) -> np.ndarray:
        """The ids of one document ``(S, T)``, int64, padded on the right with 0."""
        return self.padded(np.array([position]))[0]

    def padded(self, positions: np.ndarray) -> np.ndarray:
        """Documents ``(N, S, T)``, int64, padded with 0 to most sentences and the longest one."""
        counts = self.num_sentences[positions]
        firsts, lasts = self._offsets[positions], self._offsets[positions + 1]
        lengths = np.zeros((len(positions), int(counts.max())), dtype=np.int64)
        lengths[np.arange(lengths.shape[1]) < counts[:, None]] = np.concatenate(
            [self._rows.lengths[first:last] for first, last in zip(firsts, lasts, strict=True)]
        )
        is_token = np.arange(int(lengths.max())) < lengths[..., None]
        documents = np.zeros(is_token.shape, dtype=np.int64)
        documents[is_token] = np.concatenate(
            [self._rows.between(first, last) for first, last in zip(firsts, lasts, strict=True)]
        )
        return documents
