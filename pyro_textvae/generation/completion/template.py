# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A sentence with holes: what is given, and what may stand where nothing is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import EOS


@dataclass(frozen=True, eq=False)
class Hole:
    """A place that tokens are to be found for.

    :param first: which ids may stand first in it, bool ``(vocab_size,)``.
    :param further: which may follow; None for a hole of exactly one token.
    :param may_be_empty: whether it may hold nothing.
    """

    first: Tensor
    further: Tensor | None = None
    may_be_empty: bool = False

    def allowed(self, place: int) -> Tensor:
        """Which ids may stand at a place of it, counted from 0."""
        if place and self.further is not None:
            return self.further
        return self.first

    @property
    def fewest(self) -> int:
        """The least number of tokens in it."""
        return 0 if self.may_be_empty else 1


@dataclass(frozen=True, eq=False)
class Template:
    """Runs of given tokens with a hole between each and the next.

    >>> word = Hole(torch.tensor([False, False, False, True, True, True]))
    >>> template = Template(runs=((4,), (5, 2)), holes=(word,))
    >>> template.fewest_tokens, template.is_open
    (4, False)

    :param runs: ids, one run more than there are holes; the first may be empty, the last ends in
        ``<eos>``.
    :param holes: what is between them.
    :raises UserError: without a hole.
    """

    runs: tuple[tuple[int, ...], ...]
    holes: tuple[Hole, ...]

    def __post_init__(self) -> None:
        if not self.holes:
            raise UserError(
                "there is nothing to complete: write ___ for a word and ... for any number of "
                "words, or give the text as a prompt to go on from it"
            )
        if len(self.runs) != len(self.holes) + 1 or self.runs[-1][-1:] != (EOS,):
            raise ValueError(
                "a template has a run of ids before, between and after its holes, the last of "
                f"which ends in <eos>, got {self.runs} and {len(self.holes)} holes"
            )

    @property
    def fewest_tokens(self) -> int:
        """Tokens of the shortest sentence that matches, ``<eos>`` counted."""
        return sum(map(len, self.runs)) + sum(hole.fewest for hole in self.holes)

    @property
    def is_open(self) -> bool:
        """Whether the sentence may go on for as long as it likes after what is given."""
        last = self.holes[-1]
        return last.may_be_empty and self.runs[-1] == (EOS,)

    def log_readings(self, tokens: Tensor) -> Tensor:
        """Log of the number of ways in which each sentence is one of the template, ``(N,)``.

        More than one where a hole of several tokens holds what follows it too: "a b c b" is
        "a ... b ..." in two ways. ``-inf`` for a sentence that does not match.

        :param tokens: ids ``(N, T)``, in ``<eos>`` or cut off at the end.
        """
        places = self._places()
        # How many ways have come to a place; the token that is read next is taken from there.
        ways = torch.zeros(len(tokens), len(places) + 1, dtype=torch.float64, device=tokens.device)
        ways[:, 0] = 1.0
        ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        for column in tokens.unbind(-1):
            before, after = ways.clone(), torch.zeros_like(ways)
            for place, (allowed, is_loop) in enumerate(places):
                taken = before[:, place] * allowed.to(column.device)[column]
                after[:, place + (not is_loop)] += taken
                if is_loop:
                    before[:, place + 1] += before[:, place]
            ways = torch.where(ended[:, None], ways, after)
            ended |= column == EOS
        whole = ways[:, -1]
        if self.is_open:
            # Cut off: all that is missing is the end.
            whole = whole + torch.where(ended, 0.0, ways[:, -3])
        return whole.log()

    def _places(self) -> list[tuple[Tensor, bool]]:
        """What may be read at each place, and whether one stays there or goes to the next."""
        ids = torch.arange(len(self.holes[0].first))
        places: list[tuple[Tensor, bool]] = []
        for number, run in enumerate(self.runs):
            places += [(ids == index, False) for index in run]
            if number < len(self.holes):
                hole = self.holes[number]
                if not hole.may_be_empty:
                    places.append((hole.first, False))
                if hole.further is not None:
                    places.append((hole.further, True))
        return places


def check_fits(template: Template, max_length: int) -> None:
    """Refuse what the model is too short for.

    :raises UserError: with both lengths.
    """
    fewest = template.fewest_tokens - template.is_open
    if fewest > max_length:
        raise UserError(
            f"the text has at least {fewest} tokens, the model writes at most {max_length}: give a "
            "shorter one, or train with a larger max_length"
        )
