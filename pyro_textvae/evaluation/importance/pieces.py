# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentences of a batch in pieces that a decoder can take at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyro_textvae.contract import TOKENS
from pyro_textvae.infer.batches import Fields, text_fields_of
from pyro_textvae.special_tokens import PAD


def alike_in_length(
    batch: Mapping[str, Tensor], latents: Mapping[str, Tensor], num_draws: int, max_tokens: int
) -> list[tuple[Tensor, Fields]]:
    """The places of the sentences of each piece ``(M,)``, and its batch.

    A piece holds as many sentences as have all their draws in ``max_tokens`` tokens, padding
    counted, at least one. Those of several pieces are sorted by length, and text loses the padding
    that no sentence of its piece needs. A batch that is one piece stays as it is.

    >>> batch = {"tokens": torch.tensor([[4, 5, 2], [2, 0, 0], [6, 2, 0]])}
    >>> for places, piece in alike_in_length(batch, {}, num_draws=2, max_tokens=8):
    ...     print(places.tolist(), piece["tokens"].tolist())
    [1, 2] [[2, 0], [6, 2]]
    [0] [[4, 5, 2]]

    :param latents: values ``(K, N, ...)`` of the latents. Text keeps its padding where a size of
        theirs is its width: there may be a latent for each of its places.
    """
    tokens = batch[TOKENS]
    text = text_fields_of(batch)
    count = len(tokens)
    everything = Fields(batch, text)
    if num_draws * tokens.numel() <= max_tokens or count == 1:
        return [(torch.arange(count), everything)]
    sizes = {size for value in latents.values() for size in value.shape[2:]}
    lengths = {
        name: _lengths(batch[name])
        for name in text
        if name in batch and batch[name].dim() > 1 and batch[name].shape[-1] not in sizes
    }
    places_of_each = tokens[0].numel()
    widths = torch.full((count,), places_of_each)
    if TOKENS in lengths:
        widths = lengths[TOKENS] * (places_of_each // max(tokens.shape[-1], 1))
    order = widths.argsort(stable=True)
    pieces = []
    for rows in order.split(_counts(widths[order].tolist(), max_tokens // num_draws)):
        piece = Fields({name: value[rows] for name, value in batch.items()}, text)
        for name, of_sentences in lengths.items():
            piece[name] = piece[name].narrow(-1, 0, int(of_sentences[rows].max()))
        pieces.append((rows, piece))
    return pieces


def _lengths(ids: Tensor) -> Tensor:
    """Places up to the last that is no padding, at least one, ``(N,)``."""
    width = ids.shape[-1]
    if ids.is_floating_point():
        return torch.full((len(ids),), width)
    ends = torch.arange(1, width + 1, device=ids.device) * (ids != PAD)
    return ends.flatten(1).amax(1).clamp(min=1).cpu()


def _counts(widths: list[int], most_tokens: int) -> list[int]:
    """Numbers of neighbours in ascending ``widths`` that keep to ``most_tokens``, one at least."""
    counts = []
    count = 0
    for width in widths:
        if count and (count + 1) * width > most_tokens:
            counts.append(count)
            count = 0
        count += 1
    return [*counts, count]
