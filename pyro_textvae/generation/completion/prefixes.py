# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Beginnings of sentences, each under latents of its own, and the words that may come next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.distributions import AutoregressiveCategorical, Context, select_rows
from pyro_textvae.distributions.samples_of_network import samples_in_place
from pyro_textvae.special_tokens import BOS, FIRST_EMITTED

ROWS_AT_ONCE = 2048
"""Of a look-ahead: the scores of all words are held for as many beginnings."""


@dataclass(frozen=True, eq=False)
class Prefixes:
    """Beginnings of one length and the decoder's state after them.

    scores
        Of the token that comes next, ``(n, vocab_size - FIRST_EMITTED)``, unnormalised.
    """

    text: AutoregressiveCategorical
    context: Context
    state: Any
    scores: Tensor

    @staticmethod
    def after(text: AutoregressiveCategorical, rows: Tensor, words: Tensor) -> Prefixes:
        """The beginnings ``words`` ``(n, t)``, each given the latents of a row of ``text``.

        :param text: of batch shape ``(K,)``.
        :param rows: ``(n,)``.
        """
        context = text.context.index_select(rows)
        with samples_in_place(text._samples):
            state = text.network.initial_state(context)
        start = torch.full_like(rows, BOS)
        prefixes = Prefixes._step(text, context, state, start)
        for column in words.unbind(-1):
            prefixes = prefixes.extended(column)
        return prefixes

    def extended(self, words: Tensor) -> Prefixes:
        """Each with one more word, ``(n,)``."""
        return self._step(self.text, self.context, self.state, words)

    def rows(self, index: Tensor) -> Prefixes:
        """Some of them, in any order."""
        return Prefixes(
            self.text,
            self.context.index_select(index),
            select_rows(self.state, index),
            self.scores.index_select(0, index),
        )

    def log_next(self) -> Tensor:
        """Log-probability (nats) of every id as the next one, ``(n, vocab_size)`` float64.

        ``-inf`` for ``<pad>`` and ``<bos>``.
        """
        log_prob = self.scores.log_softmax(-1).double()
        # A hole takes words of the vocabulary; those that are copied alone are beyond it.
        log_prob = log_prob[:, : self.text.network.vocab_size - FIRST_EMITTED]
        impossible = log_prob.new_full((len(log_prob), FIRST_EMITTED), -torch.inf)
        return torch.cat([impossible, log_prob], -1)

    def log_prob_of_run(self, run: Sequence[int]) -> Tensor:
        """Log-probability (nats) that these ids come next, ``(n,)`` float64."""
        prefixes = self
        total = self.scores.new_zeros(len(self.scores), dtype=torch.float64)
        for place, index in enumerate(run):
            if place:
                before = torch.full((len(total),), run[place - 1], device=total.device)
                prefixes = prefixes.extended(before)
            total = total + prefixes._log_prob_of(index)
        return total

    def look_ahead(self, index: Tensor, words: Tensor, run: Sequence[int]) -> Tensor:
        """Log-probability (nats) that ``run`` follows a word, ``(m,)`` float64.

        :param index: which of the beginnings the word is put to, ``(m,)``.
        :param words: ``(m,)``.
        """
        if not run:
            return self.scores.new_zeros(len(index), dtype=torch.float64)
        parts = [
            self.rows(places).extended(chosen).log_prob_of_run(run)
            for places, chosen in zip(
                index.split(ROWS_AT_ONCE), words.split(ROWS_AT_ONCE), strict=True
            )
        ]
        return torch.cat(parts)

    def _log_prob_of(self, index: int) -> Tensor:
        score = self.scores[:, index - FIRST_EMITTED]
        return (score - self.scores.logsumexp(-1)).double()

    @staticmethod
    def _step(
        text: AutoregressiveCategorical, context: Context, state: Any, words: Tensor
    ) -> Prefixes:
        with samples_in_place(text._samples):
            scores, state = text.network.step(words, state, context)
        return Prefixes(text, context, state, scores)
