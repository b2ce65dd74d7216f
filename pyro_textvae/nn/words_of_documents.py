# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The words of all sentences of a document as one row."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.shared_batch import field_of_whole_batch
from pyro_textvae.special_tokens import EOS, PAD


def words_of_documents(tokens: Tensor) -> Tensor:
    """One row of ids for each document, its words in order and ``<eos>`` once, at the end.

    >>> words_of_documents(torch.tensor([[[5, 2], [6, 2]], [[7, 2], [0, 0]]])).tolist()
    [[5, 6, 2], [7, 2, 0]]

    :param tokens: ``(N, S, T)``.
    :returns: ``(N, words of the longest + 1)``.
    """
    every = tokens.flatten(1)
    is_word = every > EOS
    first = (~is_word).to(torch.uint8).argsort(dim=-1, stable=True)
    count = is_word.sum(-1, keepdim=True)
    longest = (field_of_whole_batch(tokens).flatten(1) > EOS).sum(-1).max()
    words = every.gather(-1, first)[:, : int(longest)]
    words = torch.cat([words, torch.full_like(count, PAD)], -1)
    place = torch.arange(words.shape[1], device=words.device)
    return words.where(place < count, PAD).masked_fill(place == count, EOS)
