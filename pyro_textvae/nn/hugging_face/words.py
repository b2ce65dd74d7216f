# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Ids of ours in a pre-trained causal model: its embeddings and its scores, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.data.hugging_face.vocabulary import ABSENT
from pyro_textvae.nn.vocabulary_loss import vocabulary_loss
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED

_MOST_RUNS = 16


class PretrainedEmbedding(nn.Module):
    """The pre-trained embeddings of ids of ours; an id that it has not reads as the end of a text.

    :param network: owns the embeddings, and has to be part of the same program.
    :param their_ids: its id of each of ours.
    """

    their_ids: Tensor

    def __init__(self, network: nn.Module, their_ids: Sequence[int]) -> None:
        super().__init__()
        # In a tuple it is no part of this module, and its weights are saved once.
        self._network: tuple[Any] = (network,)
        ids = [their_ids[EOS] if index == ABSENT else index for index in their_ids]
        self.register_buffer("their_ids", torch.tensor(ids), persistent=False)

    def forward(self, words: Tensor) -> Tensor:
        """Vectors of ``words``, ``(*words.shape, E)``."""
        return self._network[0].get_input_embeddings()(self.their_ids[words])


class PretrainedTokenScores(nn.Module):
    """The pre-trained scores of what a sentence can contain, normalised over that alone.

    Rows of the pre-trained vocabulary that no id of ours stands for, special tokens and the padding
    of the table, have no mass; nor has ``<unk>`` where the model has no such token.

    :param network: owns the output layer, and has to be part of the same program.
    :param their_ids: its id of each of ours.
    """

    class_ids: Tensor
    left_out: Tensor

    def __init__(self, network: nn.Module, their_ids: Sequence[int]) -> None:
        super().__init__()
        self._network: tuple[Any] = (network,)
        emitted = torch.tensor(their_ids[FIRST_EMITTED:])
        left_out = torch.full((self._head.weight.shape[0],), -torch.inf)
        left_out[emitted[emitted != ABSENT]] = 0.0
        self._runs = _runs_of(their_ids[FIRST_EMITTED:])
        self.register_buffer("class_ids", emitted, persistent=False)
        self.register_buffer("left_out", left_out, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores of every class after ``hidden`` ``(..., H)``."""
        every = F.linear(hidden, self._head.weight, self.bias)
        if len(self._runs) > _MOST_RUNS:
            scores = every.index_select(-1, self.class_ids.clamp(min=0))
            absent = (self.class_ids == ABSENT).nonzero().squeeze(-1)
            return scores.index_fill_(-1, absent, -torch.inf)
        # Whole pieces are copied several times faster than single places.
        parts = [
            every.new_full((*every.shape[:-1], size), -torch.inf)
            if first == ABSENT
            else every[..., first : first + size]
            for first, size in self._runs
        ]
        return torch.cat(parts, -1)

    def log_prob(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Log-probability (nats) of ids ``tokens`` ``(M,)`` after ``hidden`` ``(M, H)``."""
        classes = self.class_ids[tokens - FIRST_EMITTED]
        loss = vocabulary_loss(hidden, self._head.weight, self.bias, classes.clamp(min=0))
        return (-loss).masked_fill(classes == ABSENT, -torch.inf)

    @property
    def bias(self) -> Tensor:
        """What is added to the score of each of its own ids, those without a class too."""
        bias = self._head.bias
        return self.left_out if bias is None else bias + self.left_out

    @property
    def _head(self) -> Any:
        return self._network[0].get_output_embeddings()


def _runs_of(ids: Sequence[int]) -> list[tuple[int, int]]:
    """First id and length of every run of ids that follow each other; each absent one by itself."""
    runs: list[tuple[int, int]] = []
    for index in ids:
        first, size = runs[-1] if runs else (ABSENT, 0)
        if ABSENT not in (first, index) and index == first + size:
            runs[-1] = (first, size + 1)
        else:
            runs.append((index, 1))
    return runs
