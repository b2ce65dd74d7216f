# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Chinese quatrains in a given form: length of lines, tones and rhyme, on a hidden theme."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import product

import numpy as np

from pyro_textvae.data.languages.sign_classes import SignClasses
from pyro_textvae.data.languages.verse_form import LEVEL, OBLIQUE, Form
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Example, World
from pyro_textvae.errors import UserError

# Level signs by the rhyme of today's Mandarin, level ones of other rhymes, oblique ones.
_RHYMES = {
    "ang": "光霜乡忙香阳窗凉床江",
    "an": "山天年烟前船泉寒园间",
    "eng": "声风生明星情城清行灯",
    "ou": "秋流楼舟愁游州头留悠",
}
_LEVEL = "春花飞云人溪书归来时西东高家湖鱼梅松桥衣"
_OBLIQUE = "月水雨夜路树雪酒草鸟影梦远落日客柳绿晓暮晚静冷暖望照渡叶岸浪雁马海岭寺户醉坐忆去"
# Lines of five signs, by the tone of the first two; before those of seven stand two of the other.
_TONES = {
    OBLIQUE: ("仄仄仄平平", "平平仄仄平", "平平平仄仄", "仄仄仄平平"),
    LEVEL: ("平平仄仄平", "仄仄仄平平", "仄仄平平仄", "平平仄仄平"),
}
_OTHER = str.maketrans(LEVEL + OBLIQUE, OBLIQUE + LEVEL)
_NUM_THEMES = 4


class VerseWorld(World):
    r"""A poem of four lines, given its form: a rhyme and the class of the tone of every sign.

    A theme k is hidden. A line is a Markov chain of its signs :math:`P_k`, given that each has the
    tone that the form asks for, and that lines ending in a level tone (the first, second and
    fourth) rhyme. The source is the form, as :class:`Form` reads it.

    .. math:: p(x \mid f) = \sum_k p(k) \prod_l \frac{P_k(x_l)\, [x_l \text{ keeps to } f_l]}
        {\sum_{x'} P_k(x')\, [x' \text{ keeps to } f_l]}

    The sum is a product of transfer matrices. Tones and rhymes are those of today's Mandarin.

    >>> world = VerseWorld()
    >>> example = world.draw(np.random.default_rng(0))
    >>> world.faults(example.text, example.source)
    []
    >>> round(float(world.theme_posterior(example.text, example.source).sum()), 6)
    1.0

    :param most_signs: keep so many signs of each rhyme, and of other level and oblique ones.
    :raises UserError: for an option out of its range.
    """

    has_documents = True

    def __init__(self, most_signs: int | None = None) -> None:
        if most_signs is not None and most_signs < 1:
            raise UserError(f"most_signs must be at least 1, got {most_signs}")
        of_rhymes = {rhyme: signs[:most_signs] for rhyme, signs in _RHYMES.items()}
        self.rhymes = tuple(of_rhymes)
        """The names of the rhymes."""
        level = "".join(of_rhymes.values()) + _LEVEL[:most_signs]
        self.signs = level + _OBLIQUE[:most_signs]
        """All signs."""
        self.is_level = np.arange(len(self.signs)) < len(level)
        """Whether each has a level tone, ``(V,)``."""
        self.rhyme_of = {sign: rhyme for rhyme, signs in of_rhymes.items() for sign in signs}
        """The rhyme of every level sign that has one of :attr:`rhymes`."""
        self._kept_allowed: dict[Form, list[np.ndarray]] = {}
        self._kept_messages: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def sign_classes(self) -> SignClasses:
        """The tone of every sign, and the rhyme of those that have one of :attr:`rhymes`."""
        tones = {
            s: LEVEL if level else OBLIQUE
            for s, level in zip(self.signs, self.is_level, strict=True)
        }
        return SignClasses(tones, self.rhyme_of)

    @cached_property
    def forms(self) -> list[Form]:
        """All forms, equally likely."""
        forms = []
        for tones, rhyme in product(_TONES.values(), self.rhymes):
            longer = tuple(line[:2].translate(_OTHER) + line for line in tones)
            forms += [Form(rhyme, tones), Form(rhyme, longer)]
        return forms

    @cached_property
    def lexicon(self) -> list[str]:
        """All signs, and the words of forms."""
        return sorted({*self.signs, *self.rhymes, *(x for form in self.forms for x in form.tones)})

    @cached_property
    def first(self) -> np.ndarray:
        """p(first sign of a line | theme), ``(K, V)``."""
        theme, sign = np.ogrid[:_NUM_THEMES, : len(self.signs)]
        weights = np.where(sign % _NUM_THEMES == theme, 4.0, 1.0)
        return np.asarray(weights / weights.sum(1, keepdims=True))

    @cached_property
    def following(self) -> np.ndarray:
        """p(next sign | theme, sign), ``(K, V, V)``."""
        before, after = np.ogrid[: len(self.signs), : len(self.signs)]
        liking = 1 / (1 + (13 * before + 7 * after) % 29)
        weights = liking * self.first[:, None]
        return np.asarray(weights / weights.sum(2, keepdims=True))

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """One poem and its form."""
        form = self.forms[int(generator.integers(len(self.forms)))]
        theme = int(generator.integers(_NUM_THEMES))
        lines = [self._draw_line(theme, allowed, generator) for allowed in self._allowed(form)]
        return Example("\n".join(" ".join(line) for line in lines), source=form.source)

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(poem | form), or log p(poem), in nats."""
        if label is not None:
            raise UserError(f"world:verse has no labels, got {label!r}")
        if source is not None:
            return float(np.logaddexp.reduce(self._joint(text, self._form(source))))
        joint = [np.logaddexp.reduce(self._joint(text, form)) for form in self.forms]
        return float(np.logaddexp.reduce(joint) - math.log(len(self.forms)))

    def theme_posterior(self, text: str, source: str) -> np.ndarray:
        """p(theme | poem, form), exact, ``(4,)``.

        :raises UserError: for a poem that the world never draws in this form.
        """
        joint = self._joint(text, self._form(source))
        total = np.logaddexp.reduce(joint)
        if total == -np.inf:
            raise UserError(f"world:verse never draws {text[:60]!r} in this form")
        return np.asarray(np.exp(joint - total))

    def log_legal(self, source: str) -> float:
        """log of the share of lines of signs that keep to a form, where none is asked for.

        :raises UserError: for a form that there is not.
        """
        of_lines = [self._messages(allowed)[1] for allowed in self._allowed(self._form(source))]
        return float(np.logaddexp.reduce(np.sum(of_lines, axis=0)) - math.log(_NUM_THEMES))

    def faults(self, text: str, source: str) -> list[str]:
        """What in a poem does not keep to its form, one fault a line of text; none for a poem.

        :raises UserError: for a form that there is not.
        """
        form = self._form(source)
        lines = [line.split(" ") for line in text.split("\n")]
        if len(lines) != len(form.tones):
            return [f"{len(lines)} lines, not {len(form.tones)}"]
        faults = []
        for number, (line, allowed) in enumerate(zip(lines, self._allowed(form), strict=True), 1):
            if len(line) != len(allowed):
                faults.append(f"line {number} has {len(line)} signs, not {len(allowed)}")
                continue
            for place, (sign, of_place) in enumerate(zip(line, allowed, strict=True), 1):
                if sign not in self.signs or not of_place[self.signs.index(sign)]:
                    faults.append(f"line {number}: {sign!r} is not allowed at place {place}")
        return faults

    def _form(self, source: str) -> Form:
        form = Form.read(source)
        if form.rhyme not in self.rhymes:
            raise UserError(
                f"world:verse has the rhymes {', '.join(self.rhymes)}, not {form.rhyme!r}"
            )
        if form not in self.forms:
            raise UserError(f"world:verse has no form {source!r}")
        return form

    def _allowed(self, form: Form) -> list[np.ndarray]:
        """Which signs may stand at each place of each line, ``(T, V)`` a line."""
        if form not in self._kept_allowed:
            self._kept_allowed[form] = self._allow(form)
        return self._kept_allowed[form]

    def _allow(self, form: Form) -> list[np.ndarray]:
        of_rhyme = np.array([self.rhyme_of.get(sign) == form.rhyme for sign in self.signs])
        lines = []
        for tones, rhymed in zip(form.tones, form.rhymed, strict=True):
            allowed = np.stack([self.is_level == (tone == LEVEL) for tone in tones])
            if rhymed:
                allowed[-1] &= of_rhyme
            lines.append(allowed)
        return lines

    def _messages(self, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p(the rest keeps to the form | theme, sign) at every place, and log p(a line does).

        :returns: ``(T, K, V)`` and ``(K,)``.
        """
        key = allowed.tobytes()
        if key not in self._kept_messages:
            self._kept_messages[key] = self._pass_messages(allowed)
        return self._kept_messages[key]

    def _pass_messages(self, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        messages = np.ones((len(allowed), _NUM_THEMES, len(self.signs)))
        for place in range(len(allowed) - 1, 0, -1):
            kept = messages[place] * allowed[place]
            messages[place - 1] = np.einsum("kij,kj->ki", self.following, kept)
        return messages, np.log((self.first * allowed[0] * messages[0]).sum(1))

    def _draw_line(
        self, theme: int, allowed: np.ndarray, generator: np.random.Generator
    ) -> list[str]:
        messages, _ = self._messages(allowed)
        signs: list[int] = []
        shares = self.first[theme]
        for of_place, message in zip(allowed, messages[:, theme], strict=True):
            weights = shares * of_place * message
            signs.append(int(generator.choice(len(self.signs), p=weights / weights.sum())))
            shares = self.following[theme, signs[-1]]
        return [self.signs[sign] for sign in signs]

    def _joint(self, text: str, form: Form) -> np.ndarray:
        """log p(poem, theme | form), ``(K,)``."""
        if self.faults(text, form.source):
            return np.full(_NUM_THEMES, -np.inf)
        total = np.full(_NUM_THEMES, -math.log(_NUM_THEMES))
        for line, allowed in zip(text.split("\n"), self._allowed(form), strict=True):
            signs = [self.signs.index(sign) for sign in line.split(" ")]
            total += np.log(self.first[:, signs[0]])
            total += np.log(self.following[:, signs[:-1], signs[1:]]).sum(1)
            total -= self._messages(allowed)[1]
        return total
