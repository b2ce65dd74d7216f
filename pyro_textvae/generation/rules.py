# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Constraints at work: the scores of the next token of every row, given the row so far."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED, UNK


class Rules:
    """What :class:`Constraints` say of the next token.

    >>> rules = Rules(Constraints(no_repeat_ngram_size=2), most=9)
    >>> rules(torch.zeros(1, 5), torch.tensor([[4, 5, 4]]))
    tensor([[0., 0., 0., -inf, 0.]])

    :param most: the most tokens of a sentence.
    """

    def __init__(self, constraints: Constraints, most: int) -> None:
        self.constraints = constraints
        self.most = most
        self.active = bool(set(constraints.names) - {"max_length"})
        self._never = [word[0] for word in constraints.bad_words_ids if len(word) == 1]
        self._never += [] if constraints.unknown else [UNK]

    def __call__(self, scores: Tensor, rows: Tensor) -> Tensor:
        """The scores with ``-inf`` for tokens that may not be next.

        Without a ``repetition_penalty`` all others stay as they are; with one they are
        log-probabilities. A token that is forced has 0.

        :param scores: unnormalised log-probabilities ``(N, V)``; ``V`` classes, of which the first
            is ``<eos>``.
        :param rows: the tokens so far, ``(N, t)``.
        :raises UserError: for an id that is outside the vocabulary.
        """
        if not self.active:
            return scores
        position = rows.shape[1]
        if position == 0:
            self._check_vocabulary(scores.shape[-1] + FIRST_EMITTED)
        forced = self.constraints.forced(position, self.most)
        if forced is not None:
            only = torch.full_like(scores, -torch.inf)
            only[:, forced - FIRST_EMITTED] = 0.0
            return only
        penalty = self.constraints.repetition_penalty
        if penalty != 1.0:
            log_prob = scores.log_softmax(-1)
            scores = torch.where(_present(log_prob, rows), log_prob * penalty, log_prob)
        return scores.masked_fill(self._forbidden(scores, rows), -torch.inf)

    def _forbidden(self, scores: Tensor, rows: Tensor) -> Tensor:
        position = rows.shape[1]
        forbidden = torch.zeros_like(scores, dtype=torch.bool)
        if position + 1 < self.constraints.min_length:
            forbidden[:, EOS - FIRST_EMITTED] = True
        for index in self._never:
            forbidden[:, index - FIRST_EMITTED] = True
        for word in self.constraints.bad_words_ids:
            before = rows.new_tensor(word[:-1])
            if 0 < len(before) <= position:
                begun = (rows[:, position - len(before) :] == before).all(-1)
                forbidden[:, word[-1] - FIRST_EMITTED] |= begun
        size = self.constraints.no_repeat_ngram_size
        if 0 < size <= position:
            windows = rows.unfold(1, size, 1)
            last = rows[:, position - size + 1 :].unsqueeze(1)
            repeats = (windows[..., :-1] == last).all(-1)
            forbidden |= _present(scores, windows[..., -1].where(repeats, EOS))
        return forbidden

    def _check_vocabulary(self, vocab_size: int) -> None:
        given = self.constraints
        ids = [*given.prefix, *(index for word in given.bad_words_ids for index in word)]
        ids += [i for i in (given.forced_bos_token_id, given.forced_eos_token_id) if i is not None]
        for index in ids:
            if index >= vocab_size:
                raise UserError(f"id {index} is outside the vocabulary of {vocab_size} tokens")


def _present(scores: Tensor, ids: Tensor) -> Tensor:
    """Whether each class of ``scores`` is among the ids of its row, ``<eos>`` and padding aside."""
    present = torch.zeros_like(scores, dtype=torch.bool)
    present.scatter_(1, (ids - FIRST_EMITTED).clamp(min=0), True)
    present[:, EOS - FIRST_EMITTED] = False
    return present
