# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentences of a batch one by one, and random numbers that belong to a sentence alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from pyro_textvae.contract import TOKENS
from pyro_textvae.distributions import sentence_mask
from pyro_textvae.infer.batches import Fields, check_batches, check_text, text_fields_of
from pyro_textvae.special_tokens import PAD


def single_sentences(batch: Mapping[str, Tensor]) -> list[Fields]:
    """Each sentence as a batch of one, without its padding: the same in whatever batch it was.

    >>> batch = {"tokens": torch.tensor([[4, 2, 0], [2, 0, 0]]), "labels": torch.tensor([1, 0])}
    >>> single_sentences(batch)[1]
    {'tokens': tensor([[2]]), 'labels': tensor([0])}

    Fields of text lose what is padding alone at their end, in every dimension; all others stay
    whole. Which they are says ``batch.text_fields``, where there is one; else they are ``tokens``
    and ``source``.
    """
    text = text_fields_of(batch)
    return [
        Fields(
            {
                name: _without_padding(value[row : row + 1])
                if name in text
                else value[row : row + 1]
                for name, value in batch.items()
            },
            text,
        )
        for row in range(len(batch[TOKENS]))
    ]


def batch_of(sentences: Sequence[Mapping[str, Tensor]]) -> Fields:
    """One batch of single sentences, their text padded to the longest in every dimension."""
    text = text_fields_of(sentences[0])
    columns = {name: [sentence[name] for sentence in sentences] for name in sentences[0]}
    return Fields(
        {name: _padded(v) if name in text else torch.cat(v) for name, v in columns.items()}, text
    )


def num_tokens_of(tokens: Tensor) -> Tensor:
    """Number of tokens of each sentence, ``(N,)``, ``<eos>`` counted and padding not.

    >>> num_tokens_of(torch.tensor([[4, 5, 2, 0], [2, 0, 0, 0]]))
    tensor([3, 1])

    :param tokens: ``(N, T)``, or with further dimensions between, of which the rows are summed.
    """
    return (sentence_mask(tokens) & (tokens != PAD)).flatten(1).sum(1)


def sentence_key(sentence: Mapping[str, Tensor]) -> int:
    """A number of 63 bits made of what a sentence says, and of nothing else.

    >>> sentence_key({"tokens": torch.tensor([[4, 5, 2]])})
    4115167511709603829
    """
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
    if value.is_floating_point():
        return value
    places = (value != PAD).nonzero()
    ends = places.amax(0) + 1 if len(places) else torch.ones(value.dim(), dtype=torch.long)
    for dim, end in enumerate(ends.tolist()[1:], start=1):
        value = value.narrow(dim, 0, end)
    return value


def _padded(rows: list[Tensor]) -> Tensor:
    if rows[0].is_floating_point():
        return torch.cat(rows)
    shape = [max(sizes) for sizes in zip(*(row.shape[1:] for row in rows), strict=True)]
    padded = rows[0].new_full((len(rows), *shape), PAD)
    for place, row in zip(padded, rows, strict=True):
        for dim, size in enumerate(row.shape[1:]):
            place = place.narrow(dim, 0, size)
        place.copy_(row[0])
    return padded


def in_corpus_order(
    columns: dict[str, Tensor], indices: Sequence[Tensor | None]
) -> dict[str, Tensor]:
    """Sort rows by the place in the split that their batches know; without it, as they came."""
    places = [index for index in indices if index is not None]
    if len(places) < len(indices):
        return columns
    order = torch.cat(places).argsort()
    return {name: column[order] for name, column in columns.items()}


def sentences_in_corpus_order(batches: Iterable[Mapping[str, Tensor]]) -> list[Fields]:
    """Sentences one by one, by the place in the split that batches know; else as they came."""
    sentences: list[Fields] = []
    indices: list[int] = []
    check_batches(batches)
    for batch in batches:
        check_text(batch)
        sentences += single_sentences(batch)
        places = getattr(batch, "indices", None)
        if places is not None:
            indices += places.tolist()
    if len(indices) < len(sentences):
        return sentences
    return [sentences[place] for place in torch.tensor(indices).argsort().tolist()]
