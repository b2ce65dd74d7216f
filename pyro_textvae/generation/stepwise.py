# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts that give the next token's scores, and sentences made of them token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.rules import Rules
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED, PAD


@runtime_checkable
class StepwiseText(Protocol):
    """A distribution over rows of ids that tells the probabilities of each next token.

    :class:`~pyro_textvae.distributions.AutoregressiveCategorical` is one. A distribution of your
    own at the text site is another if it has these three beside what every distribution has; its
    ``expand`` must then work too, for beams.
    """

    max_length: int
    """The longest row, ``<eos>`` included."""

    def initial_state(self) -> Any:
        """The state before the first token, for ``batch_shape.numel()`` rows.

        Every tensor of it has the rows as its first dimension, for
        :func:`~pyro_textvae.distributions.select_rows`.
        """

    def step(self, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Scores ``(N, V)`` of the next token, and the new state.

        :param previous: the token before, ``(N,)``; first ``<bos>``. A row that has ended goes on
            with any token.
        :returns: unnormalised log-probabilities, where class ``c`` is the id
            ``c + FIRST_EMITTED``; ``(N, V)``.
        """


@torch.no_grad()
def decode_stepwise(
    text: Any, choose: Callable[[Tensor], Tensor], constraints: Constraints
) -> Generated:
    """One sentence for each row, its tokens chosen one after another.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=7
    ... )
    >>> text = decoder(torch.zeros(2, 3))
    >>> decoded = decode_stepwise(text, lambda scores: scores.argmax(-1), Constraints())
    >>> decoded.tokens.shape
    torch.Size([1, 2, 7])
    >>> torch.allclose(decoded.log_prob, text.log_prob(decoded.tokens))
    True

    :param text: a :class:`StepwiseText`.
    :param choose: maps scores ``(N, V)`` to classes ``(N,)``.
    :returns: tokens ``(1, *batch_shape, max_length)``, the other two ``(1, *batch_shape)``.
    :raises UserError: where the constraints leave a sentence no token.
    """
    shape, most = text.batch_shape, constraints.most_tokens(text.max_length)
    count = shape.numel()
    rules = Rules(constraints, most)
    rows = torch.full((count, text.max_length), PAD, device=device_of_text(text))
    previous = torch.full_like(rows[:, 0], BOS)
    alive = torch.ones_like(previous, dtype=torch.bool)
    log_prob = torch.zeros(count, device=rows.device, dtype=torch.double)
    state = text.initial_state()
    for position in range(most if count else 0):
        scores, state = text.step(previous, state)
        allowed = rules(scores, rows[:, :position])
        if rules.active and (alive & (allowed == -torch.inf).all(-1)).any():
            raise no_token_left(position)
        classes = choose(allowed)
        # On a processor log_softmax takes half the time of logsumexp.
        of_token = scores.log_softmax(-1).gather(-1, classes.unsqueeze(-1)).squeeze(-1)
        log_prob = log_prob + torch.where(alive, of_token, 0.0)
        previous = classes + FIRST_EMITTED
        rows[:, position] = torch.where(alive, previous, PAD)
        alive = alive & (previous != EOS)
        if not alive.any():
            break
    log_prob = log_prob.reshape(1, *shape).to(scores.dtype)
    return Generated(rows.reshape(1, *shape, text.max_length), log_prob, log_prob)


def device_of_text(text: Any) -> torch.device:
    """Where the rows of a text are made."""
    return getattr(text, "device", torch.device("cpu"))


def no_token_left(position: int) -> UserError:
    """What to say where all tokens are forbidden."""
    return UserError(
        f"the constraints leave a sentence no token at place {position + 1}: loosen min_length, "
        "no_repeat_ngram_size or bad_words_ids"
    )
