# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The form of a Chinese poem: how long its lines are, their tones and their rhyme."""

from __future__ import annotations

from typing import NamedTuple

LEVEL, OBLIQUE = "平", "仄"
"""The classes of tones of Mandarin: the first and second, the third and fourth."""


class Form(NamedTuple):
    """What a poem has to keep to.

    >>> Form.read("ang 仄仄仄平平 平平仄仄平 平平平仄仄 仄仄仄平平").rhymed
    (True, True, False, True)

    :param rhyme: of the last signs of lines that end in a level tone.
    :param tones: of each line, a class for every sign.
    """

    rhyme: str
    tones: tuple[str, ...]

    @classmethod
    def read(cls, source: str) -> Form:
        """The form that a source tells: a rhyme, then the tones of every line."""
        rhyme, *tones = source.split(" ")
        return cls(rhyme, tuple(tones))

    @property
    def rhymed(self) -> tuple[bool, ...]:
        """Which lines rhyme."""
        return tuple(line.endswith(LEVEL) for line in self.tones)

    @property
    def source(self) -> str:
        """The form as a text."""
        return " ".join([self.rhyme, *self.tones])
