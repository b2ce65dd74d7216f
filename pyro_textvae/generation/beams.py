# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Search for sentences of a high score by keeping the best beginnings at every place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.distributions import select_rows
from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.largest import largest
from pyro_textvae.generation.rules import Rules
from pyro_textvae.generation.stepwise import device_of_text
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED, PAD


@dataclass
class _Sentences:
    """Beginnings or sentences of N rows, W of each: tokens ``(W, N, T)``, the others ``(W, N)``."""

    tokens: Tensor
    log_prob: Tensor
    score: Tensor

    def take(self, places: Tensor) -> _Sentences:
        """Those at ``places`` ``(W', N)`` of the W."""
        tokens = self.tokens.gather(0, places.unsqueeze(-1).expand(*places.shape, self.length))
        return _Sentences(tokens, self.log_prob.gather(0, places), self.score.gather(0, places))

    def best_with(self, others: _Sentences, width: int) -> _Sentences:
        """The ``width`` of the highest score, of these and others, the best first."""
        joined = _Sentences(
            torch.cat([self.tokens, others.tokens]),
            torch.cat([self.log_prob, others.log_prob]),
            torch.cat([self.score, others.score]),
        )
        return joined.take(joined.score.topk(width, 0).indices)

    @property
    def length(self) -> int:
        return self.tokens.shape[-1]


@torch.no_grad()
def search_beams(
    text: Any,
    constraints: Constraints,
    *,
    num_beams: int,
    length_penalty: float,
    num_return_sequences: int,
    num_groups: int,
    diversity_penalty: float,
) -> Generated:
    """The best sentences of each row of a text; see :class:`~pyro_textvae.generation.Beam`.

    :param text: a :class:`~pyro_textvae.generation.StepwiseText`.
    :returns: tokens ``(num_return_sequences, *batch_shape, max_length)``, the others without the
        last dimension.
    :raises UserError: where there are fewer sentences than are to be returned.
    """
    shape, most = text.batch_shape, constraints.most_tokens(text.max_length)
    count, width = shape.numel(), num_beams // num_groups
    rules, prefix = Rules(constraints, most), len(constraints.prefix)
    many = text.expand(torch.Size((num_beams, *shape)))
    device = device_of_text(text)
    empty = torch.full((width, count, text.max_length), PAD, device=device)
    zero = torch.zeros(width, count, device=device, dtype=torch.double)
    first = torch.where(torch.arange(width, device=device).unsqueeze(-1) == 0, zero, -torch.inf)
    open_beams = [_Sentences(empty, zero, first) for _ in range(num_groups)]
    complete = [_Sentences(empty, zero, zero - torch.inf) for _ in range(num_groups)]
    state = many.initial_state()
    previous = torch.full((num_beams * count,), BOS, device=device)
    for position in range(most if count else 0):
        scores, state = many.step(previous, state)
        taken: Tensor | None = None
        parents = []
        for group, beams in enumerate(open_beams):
            of_group = scores[group * width * count : (group + 1) * width * count]
            candidates, parent = _continuations(of_group, beams, position, rules, taken)
            last_token = candidates.tokens[..., position]
            ends = (last_token == EOS) | (position == most - 1)
            # As in transformers: candidates beyond the width are there to go on with alone.
            ended = candidates.score.masked_fill(~ends, -torch.inf)[:width]
            if (ended > -torch.inf).any():
                ended = ended / max(position + 1 - prefix, 1) ** length_penalty
                done = _Sentences(candidates.tokens[:width], candidates.log_prob[:width], ended)
                complete[group] = complete[group].best_with(done, width)
            going = candidates.score.masked_fill(last_token == EOS, -torch.inf)
            going = going.topk(width, 0).indices
            open_beams[group] = candidates.take(going)
            closed = (last_token == EOS).gather(0, going)
            open_beams[group].score.masked_fill_(closed, -torch.inf)
            parents.append(parent.gather(0, going) + group * width)
            if diversity_penalty:
                chosen = open_beams[group].tokens[..., position] - FIRST_EMITTED
                lost = torch.full_like(chosen, diversity_penalty, dtype=scores.dtype)
                before = scores.new_zeros(count, scores.shape[-1]) if taken is None else taken
                taken = before.scatter_add(1, chosen.T, lost.T)
        kept = min(num_return_sequences, width)
        length = most - prefix if length_penalty > 0 else position + 2 - prefix
        if position == most - 1 or all(
            _is_settled(beams, done, kept, max(length, 1) ** length_penalty)
            for beams, done in zip(open_beams, complete, strict=True)
        ):
            break
        rows = torch.cat(parents) * count + torch.arange(count, device=device)
        if num_beams > 1:
            state = select_rows(state, rows.flatten())
        previous = torch.cat([beams.tokens[..., position] for beams in open_beams]).flatten()
    everything = complete[0]
    for done in complete[1:]:
        everything = everything.best_with(done, len(everything.score) + width)
    best = everything.take(everything.score.topk(num_return_sequences, 0).indices)
    if count and not bool((best.score > -torch.inf).all()):
        raise UserError(
            f"the search finds fewer than num_return_sequences={num_return_sequences} sentences of "
            "a row: loosen the constraints, or give more beams"
        )
    shape = torch.Size((num_return_sequences, *shape))
    return Generated(
        best.tokens.reshape(*shape, text.max_length),
        best.log_prob.reshape(shape).to(scores.dtype),
        best.score.reshape(shape).to(scores.dtype),
    )


def _continuations(
    scores: Tensor, beams: _Sentences, position: int, rules: Rules, taken: Tensor | None
) -> tuple[_Sentences, Tensor]:
    """The best beginnings of one more token, twice the beams, and which beam each goes on with.

    :param scores: of the next token, ``(W * N, V)``.
    :param taken: nats that the tokens of other groups lose, ``(N, V)``.
    """
    width, count = beams.score.shape
    model = scores.log_softmax(-1)
    allowed = rules(model, beams.tokens[..., :position].flatten(0, 1))
    if taken is not None:
        allowed = allowed - taken.repeat(width, 1)
    most = min(2 * width, scores.shape[-1])
    values, classes = largest(allowed, most)
    # A sentence's best are among the best of its beams: (N, W * most) in place of (N, W * V).
    score = beams.score.unsqueeze(-1) + values.view(width, count, most)
    log_prob = beams.log_prob.unsqueeze(-1) + model.gather(-1, classes).view(width, count, most)
    score, log_prob, classes = (
        part.view(width, count, most).transpose(0, 1).flatten(1)
        for part in (score, log_prob, classes)
    )
    best = score.topk(min(2 * width, score.shape[-1]), -1).indices
    parent = (best // most).T
    grown = beams.take(parent)
    grown.tokens[..., position] = classes.gather(-1, best).T + FIRST_EMITTED
    return _Sentences(grown.tokens, log_prob.gather(-1, best).T, score.gather(-1, best).T), parent


def _is_settled(beams: _Sentences, complete: _Sentences, kept: int, divisor: float) -> bool:
    """Whether no open beginning can still reach the ``kept`` best, whatever comes after it."""
    return bool((beams.score.amax(0) / divisor <= complete.score[kept - 1]).all())
