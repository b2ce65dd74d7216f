# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentences of a batch one by one, and random numbers that belong to a sentence alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pyro_textvae.contract import TOKENS
from pyro_textvae.special_tokens import PAD


def single_sentences(batch: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Each sentence as a batch of one, without its padding: the same in whatever batch it was.

    Integer keywords of two dimensions are rows of ids, padded on the right; all others stay whole.
    """
    return [
        {name: _without_padding(value[row : row + 1]) for name, value in batch.items()}
        for row in range(len(batch[TOKENS]))
    ]


def batch_of(sentences: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """One batch of single sentences, rows of ids padded on the right to the longest."""
    return {name: _stacked([sentence[name] for sentence in sentences]) for name in sentences[0]}


def sentence_key(sentence: Mapping[str, Tensor]) -> int:
    """A number of 63 bits made of what a sentence says, and of nothing else."""
    digest = hashlib.sha256()
    for name in sorted(sentence):
        value = sentence[name].cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.numpy().tobytes())
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def seed_of(*parts: int | str) -> int:
    """A seed of 63 bits from all of ``parts``."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _without_padding(value: Tensor) -> Tensor:
    if not _is_ids(value):
        return value
    real = (value != PAD).any(0).nonzero()
    return value[:, : int(real[-1]) + 1 if len(real) else 1]


def _stacked(rows: list[Tensor]) -> Tensor:
    if not _is_ids(rows[0]):
        return torch.cat(rows)
    return pad_sequence([row[0] for row in rows], batch_first=True, padding_value=PAD)


def _is_ids(value: Tensor) -> bool:
    return value.dim() == 2 and not value.is_floating_point()


def in_corpus_order(
    columns: dict[str, Tensor], indices: Sequence[Tensor | None]
) -> dict[str, Tensor]:
    """Sort rows by the place in the split that their batches know; without it, as they came."""
    known = [index for index in indices if index is not None]
    if len(known) < len(indices):
        return columns
    order = torch.cat(known).argsort()
    return {name: column[order] for name, column in columns.items()}


def sentences_in_corpus_order(batches: Iterable[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Sentences one by one, by the place in the split that batches know; else as they came."""
    sentences: list[dict[str, Tensor]] = []
    indices: list[int] = []
    for batch in batches:
        sentences += single_sentences(batch)
        known = getattr(batch, "indices", None)
        if known is not None:
            indices += known.tolist()
    if len(indices) < len(sentences):
        return sentences
    return [sentences[place] for place in torch.tensor(indices).argsort().tolist()]
