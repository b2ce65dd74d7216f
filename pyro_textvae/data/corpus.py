# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An encoded corpus: three splits of token ids, their tokenizer, and batches of them."""

import operator
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.data.batching import Batch, plan_batches
from pyro_textvae.data.grammar import Grammar
from pyro_textvae.data.records import SPLITS, content_digest
from pyro_textvae.data.store import TOKENIZER, Columns
from pyro_textvae.data.synthetic_language import shipped_grammar_text
from pyro_textvae.data.tokenizer import Tokenizer
from pyro_textvae.errors import UserError


class Split(Sequence[Tensor]):
    """The sentences of one split, memory-mapped; `[i]` is an int64 row of ids ending in `<eos>`."""

    def __init__(self, folder: Path, name: str, column_names: list[str]) -> None:
        self.name = name
        self._ids = np.load(folder / f"{name}.ids.npy", mmap_mode="r")
        self._offsets = np.load(folder / f"{name}.offsets.npy", mmap_mode="r")
        self.columns = Columns(folder / f"{name}.columns.jsonl", column_names)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        """Return row `index`; raises `IndexError` outside the split and refuses slices."""
        position = range(len(self))[operator.index(index)]
        start, stop = self._offsets[position], self._offsets[position + 1]
        return torch.from_numpy(self._ids[start:stop].astype(np.int64))

    def __repr__(self) -> str:
        return f"Split({self.name}, {len(self)} sentences, {self.num_tokens} tokens)"

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every row, `<eos>` included."""
        return np.diff(self._offsets)

    @property
    def num_tokens(self) -> int:
        """Tokens of the split, `<eos>` included."""
        return int(self._offsets[-1])

    def batch(self, indices: np.ndarray) -> Batch:
        """Return the rows at these indices, padded on the right with 0 to the longest."""
        chosen = np.asarray(indices, dtype=np.int64)
        tokens = np.zeros((len(chosen), int(self.lengths[chosen].max())), dtype=np.int64)
        for row, index in zip(tokens, chosen, strict=True):
            start, stop = self._offsets[index], self._offsets[index + 1]
            row[: stop - start] = self._ids[start:stop]
        return Batch(torch.from_numpy(tokens), torch.from_numpy(chosen.copy()))


class Corpus:
    """Three splits of encoded sentences with their tokenizer; made by `load_corpus`."""

    def __init__(self, folder: Path, meta: dict[str, Any], source_name: str) -> None:
        self.source = source_name
        self.tokenizer = Tokenizer.load(folder / TOKENIZER)
        self.train, self.valid, self.test = (
            Split(folder, name, meta["columns"][name]) for name in SPLITS
        )
        self._counts = meta["counts"]
        digest = content_digest(self.tokenizer.fingerprint, *meta["digests"])
        self.fingerprint = digest[:16]
        """A short hash of the tokenizer and of the encoded splits."""

    def __repr__(self) -> str:
        sizes = " / ".join(f"{len(self.split(name)):,}" for name in SPLITS)
        return f"Corpus({self.source}, {sizes} sentences, {self.tokenizer})"

    @property
    def max_length(self) -> int:
        """Tokens of the longest row of all splits, `<eos>` included."""
        return max(int(self.split(name).lengths.max()) for name in SPLITS)

    @cached_property
    def grammar(self) -> Grammar | None:
        """The grammar that the sentences were drawn from, for the source "grammar"."""
        return Grammar(shipped_grammar_text()) if self.source == "grammar" else None

    def split(self, name: str) -> Split:
        """Return a split by name; raises `UserError` for another name."""
        if name not in SPLITS:
            raise UserError(f"unknown split {name!r}; it is one of {', '.join(SPLITS)}")
        split: Split = getattr(self, name)
        return split

    def plan(
        self,
        split: str,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> list[np.ndarray]:
        """Return the sentence indices of every batch, as `plan_batches` draws them.

        A run that resumes after k batches continues with `corpus.split(name).batch(indices)` for
        the indices in `plan[k:]`.
        """
        return plan_batches(
            self.split(split).lengths,
            batch_size,
            max_tokens=max_tokens,
            seed=seed,
            epoch=epoch,
            shuffle=shuffle,
        )

    def batches(
        self,
        split: str,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> Iterator[Batch]:
        """Yield `{"tokens": (N, T)}` with `.indices` (N,), each sentence of the split once.

        Options as in `plan_batches`: `batch_size` sentences (default 32) or at most `max_tokens`
        padded tokens a batch; drawn anew from `(seed, epoch)`, or in order of length.
        """
        plan = self.plan(
            split, batch_size, max_tokens=max_tokens, seed=seed, epoch=epoch, shuffle=shuffle
        )
        return map(self.split(split).batch, plan)

    def num_batches(
        self,
        split: str,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> int:
        """Return how many batches `batches` yields with the same arguments."""
        return len(
            self.plan(
                split, batch_size, max_tokens=max_tokens, seed=seed, epoch=epoch, shuffle=shuffle
            )
        )

    def summary(self) -> dict[str, Any]:
        """Return the counts of every split and what was dropped or cut, fit for JSON.

        `unknown_token_share` is the share of `<unk>` among the tokens other than `<eos>`. Blank
        lines of a single file are counted under train.
        """
        return {
            "source": self.source,
            "tokenizer": self.tokenizer.kind,
            "vocab_size": len(self.tokenizer),
            "max_length": self.max_length,
            "fingerprint": self.fingerprint,
            **{name: dict(self._counts[name]) for name in SPLITS},
        }
