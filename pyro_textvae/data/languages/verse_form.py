# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The form of a Chinese poem: how long its lines are, their tones and their rhyme."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pyro_textvae.errors import UserError

LEVEL, OBLIQUE = "平", "仄"
"""The classes of tones of Mandarin: the first and second, the third and fourth."""

RHYMES = tuple("a o e ie zhi er i ei ai u ü ou ao an en ang eng ong".split())
"""The eighteen rhymes of today's Mandarin, by a final that has each: ``zhi`` is that of 詩."""

RHYMING = "韵"
"""What stands for the last sign of a line that rhymes, where not all that end level do."""

NO_RHYME = "-"
"""What stands for the rhyme in the form of a poem that has none."""


class Form(NamedTuple):
    """What a poem has to keep to.

    >>> Form.read("ang 仄仄仄平平 平平仄仄平 平平平仄仄 仄仄仄平平").rhymed
    (True, True, False, True)
    >>> Form.read("ang 仄仄平 平平韵 仄仄韵").rhymed
    (False, True, True)

    Source of the rhymes: 中华新韵 (1941), whose names are 麻波歌皆支儿齐微开模鱼侯豪寒痕唐庚东.

    :param rhyme: of the last signs of lines that end in 韵, or, where none does, of all that end in
        a level tone.
    :param tones: of each line, a class for every sign; 韵 is level.
    """

    rhyme: str
    tones: tuple[str, ...]

    @classmethod
    def read(cls, source: str) -> Form:
        """The form that a source tells: a rhyme, then the tones of every line."""
        rhyme, *tones = source.split(" ")
        return cls(rhyme, tuple(tones))

    @classmethod
    def checked(cls, source: str) -> Form:
        """The form that a person wrote.

        >>> Form.checked("ong 平平仄").rhyme
        'ong'

        :raises UserError: for a rhyme that there is not, no line, and a line of other signs than
            those of tones.
        """
        form = cls.read(" ".join(source.split()))
        if form.rhyme not in (*RHYMES, NO_RHYME):
            raise UserError(
                f"there is no rhyme {form.rhyme!r}: a form begins with one of {', '.join(RHYMES)}, "
                f"or {NO_RHYME} for none, and the tones of each line follow"
            )
        if not form.tones:
            raise UserError(
                f"the form {source.strip()!r} has no line: write {LEVEL} or {OBLIQUE} for each "
                "sign, and a space between lines"
            )
        for number, line in enumerate(form.tones, 1):
            if set(line[:-1]) - {LEVEL, OBLIQUE} or line[-1] not in (LEVEL, OBLIQUE, RHYMING):
                raise UserError(
                    f"line {number} of the form is {line!r}: write {LEVEL} or {OBLIQUE} for each "
                    f"sign, or {RHYMING} for a last one that rhymes, and a space between lines"
                )
            if line[-1] == RHYMING and form.rhyme == NO_RHYME:
                raise UserError(
                    f"line {number} of the form ends in {RHYMING}, and the form has no rhyme: "
                    f"begin it with one of {', '.join(RHYMES)}"
                )
        return form

    @property
    def rhymed(self) -> tuple[bool, ...]:
        """Which lines rhyme."""
        mark = RHYMING if any(line.endswith(RHYMING) for line in self.tones) else LEVEL
        return tuple(self.rhyme != NO_RHYME and line.endswith(mark) for line in self.tones)

    def beginning(self, number: int) -> Form:
        """The form of the first lines alone: what they have to keep to stays as it is.

        >>> Form("ang", ("仄平", "仄韵")).beginning(1).source
        '- 仄平'
        """
        rhyme = self.rhyme if any(self.rhymed[:number]) else NO_RHYME
        return Form(rhyme, self.tones[:number])

    @property
    def source(self) -> str:
        """The form as a text."""
        return " ".join([self.rhyme, *self.tones])

    @property
    def places(self) -> tuple[tuple[str, ...], ...]:
        """What must stand at each place of each line: a tone, or the rhyme where it must be.

        >>> Form("ang", ("仄平", "平仄")).places
        (('仄', 'ang'), ('平', '仄'))
        """
        return tuple(
            (*line[:-1], self.rhyme if rhymed else line[-1])
            for line, rhymed in zip(self.tones, self.rhymed, strict=True)
        )


_BETWEEN_SIGNS = re.compile(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])")


def set_line(text: str) -> str:
    """A line, or lines, as they are printed: no space between Chinese signs.

    >>> set_line("床 前 明 月 光")
    '床前明月光'
    """
    return _BETWEEN_SIGNS.sub("", text)


PLACES: Sequence[str] = (LEVEL, OBLIQUE, *RHYMES)
"""All that :attr:`Form.places` may hold."""
