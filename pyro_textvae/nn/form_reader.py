# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The forms of poems as ids: what must stand at each place of each line."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.languages.verse_form import (
    LEVEL,
    NO_RHYME,
    OBLIQUE,
    PLACES,
    RHYMES,
    RHYMING,
    Form,
)
from pyro_textvae.errors import UserError
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.special_tokens import EOS, PAD

END = 0
"""What stands after the last sign of a line, and in a line that there is not."""

NUM_PLACES = len(PLACES) + 1
"""How many kinds of places there are, :data:`END` among them."""


class FormReader:
    """Reads the ids of sources that tell a :class:`Form` each.

    >>> from pyro_textvae.data import pad, train_tokenizer
    >>> tokenizer = train_tokenizer(["ang 平平 仄仄"])
    >>> FormReader(tokenizer, max_lines=3, max_length=4)(pad([[*tokenizer.encode("ang 仄仄"), 2]]))
    tensor([[[2, 2, 0, 0],
             [0, 0, 0, 0],
             [0, 0, 0, 0]]])

    :param tokenizer: of characters, or of words that are signs and lines of tones.
    :param max_lines: the most lines of a poem.
    :param max_length: the longest line, ``<eos>`` included.
    :raises ValueError: for a tokenizer with tokens of several signs.
    """

    def __init__(self, tokenizer: Tokenizer, max_lines: int, max_length: int) -> None:
        check_sizes(max_lines=max_lines, max_length=max_length)
        self.tokens = tuple(tokenizer.vocabulary)
        self.between = " " if tokenizer.tokens_are_words else ""
        for token in self.tokens[EOS + 2 :]:
            is_form = token in (*RHYMES, NO_RHYME) or not set(token) - {LEVEL, OBLIQUE, RHYMING}
            if len(token) > 1 and not (self.between and is_form):
                raise ValueError(
                    f"poems are written sign by sign, and {token!r} is one token: give the "
                    "tokenizer character, or poems with spaces between their signs"
                )
        self.max_lines = max_lines
        self.max_length = max_length
        self._kept: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, source: Tensor) -> Tensor:
        """The kind of each place: :data:`END`, or one more than its index in ``PLACES``.

        :param source: ids ``(N, S)``.
        :returns: ``(N, max_lines, max_length)`` int64.
        :raises UserError: for a source that is no form, or one of longer poems; its row is named.
        """
        forms = [self._places(tuple(row), number) for number, row in enumerate(source.tolist(), 1)]
        return torch.stack(forms).to(source.device)

    def check(self, source: str) -> None:
        """Refuse what is no form, as a person wrote it, before its signs become ids.

        :raises UserError: as :meth:`Form.checked`, and for what no form of the training text has.
        """
        form = Form.checked(source)
        signs = form.source.split(" ") if self.between else form.source.replace(" ", "")
        unknown = next((sign for sign in signs if sign not in self.tokens), None)
        if unknown is not None:
            raise UserError(
                f"the form {form.source!r} has {unknown!r}, which no form of the training text "
                "has, so the model cannot read it: give one of those forms, or train with this one"
            )

    def _places(self, ids: tuple[int, ...], number: int) -> Tensor:
        if ids not in self._kept:
            try:
                self._kept[ids] = self._read(ids)
            except UserError as error:
                raise UserError(f"source {number} of the batch: {error}") from error
        return self._kept[ids]

    def _read(self, ids: tuple[int, ...]) -> Tensor:
        words = [self.tokens[index] for index in ids if index not in (PAD, EOS)]
        form = Form.checked(self.between.join(words))
        if len(form.tones) > self.max_lines:
            raise UserError(
                f"the form has {len(form.tones)} lines, and the model's poems have at most "
                f"{self.max_lines}"
            )
        places = torch.full((self.max_lines, self.max_length), END)
        for row, line in zip(places, form.places, strict=False):
            if len(line) >= self.max_length:
                raise UserError(
                    f"the form has a line of {len(line)} signs, and the model's lines have at most "
                    f"{self.max_length - 1}"
                )
            row[: len(line)] = torch.tensor([PLACES.index(place) + 1 for place in line])
        return places
