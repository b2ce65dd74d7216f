# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The tone and the rhyme of Chinese signs, and how poems keep to a form by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pyro_textvae.data.languages.verse_form import LEVEL, NO_RHYME, OBLIQUE, RHYMES, RHYMING, Form
from pyro_textvae.errors import UserError

_OF_TONES = {"1": LEVEL, "2": LEVEL, "3": OBLIQUE, "4": OBLIQUE}
_SIBILANTS = ("zh", "ch", "sh", "r", "z", "c", "s")
# Finals as pypinyin writes them, where they are not the name of their rhyme.
_RHYME_OF_FINALS = {
    **dict.fromkeys(("ia", "ua"), "a"),
    "uo": "o",
    **dict.fromkeys(("üe", "ve", "ê"), "ie"),
    **dict.fromkeys(("uei", "ui"), "ei"),
    "uai": "ai",
    "v": "ü",
    **dict.fromkeys(("iou", "iu"), "ou"),
    "iao": "ao",
    **dict.fromkeys(("ian", "uan", "üan", "van"), "an"),
    **dict.fromkeys(("in", "uen", "un", "ün", "vn"), "en"),
    **dict.fromkeys(("iang", "uang"), "ang"),
    **dict.fromkeys(("ing", "ueng"), "eng"),
    "iong": "ong",
}


@dataclass(frozen=True)
class Accuracy:
    """How much of one poem keeps to its form.

    :param metre: whether there are as many lines as the form has, each of its length.
    :param tones: of the places of the form, the share that has a sign of the right tone.
    :param rhymes: of the lines that have to rhyme, the share that ends in a sign that does; None
        where no line has to.
    :param is_met: whether all of it does.
    """

    metre: bool
    tones: float
    rhymes: float | None
    is_met: bool


@dataclass(frozen=True)
class SignClasses:
    """What tone signs have, level 平 or oblique 仄, and what rhyme.

    >>> classes = SignClasses({"月": "仄", "光": "平", "霜": "平"}, {"光": "ang", "霜": "ang"})
    >>> classes.form_of(["月光", "月霜"]).source
    'ang 仄平 仄平'
    >>> classes.faults(["月光", "光霜"], Form("ang", ("仄平", "仄平")))
    ["line 2: '光' at place 1 is 平, not 仄"]

    :param tones: by sign.
    :param rhymes: by sign; one of :data:`RHYMES`.
    """

    tones: Mapping[str, str]
    rhymes: Mapping[str, str]

    def fits(self, sign: str, place: str) -> bool:
        """Whether a sign may stand at a place, see :attr:`Form.places`."""
        if place in (LEVEL, OBLIQUE):
            return self.tones.get(sign) == place
        return self.tones.get(sign) == LEVEL and self.rhymes.get(sign) == place

    def form_of(self, lines: Sequence[str]) -> Form:
        """The form that a poem has.

        Its rhyme is the one that most of its lines have that end in a level tone, at least two; the
        first of several. Without one it has none.

        :param lines: of signs, with nothing between them.
        :raises UserError: for a sign whose tone is not known.
        """
        for number, line in enumerate(lines, 1):
            for sign in line:
                if sign not in self.tones:
                    raise UserError(f"line {number}: no tone of {sign!r} is known")
        tones = tuple("".join(self.tones[sign] for sign in line) for line in lines)
        level = [number for number, line in enumerate(tones) if line[-1] == LEVEL]
        rhymes = Counter(self.rhymes.get(lines[number][-1]) for number in level)
        del rhymes[None]
        rhyme, count = rhymes.most_common(1)[0] if rhymes else (NO_RHYME, 0)
        if count < 2:
            return Form(NO_RHYME, tones)
        if count == len(level):
            return Form(str(rhyme), tones)
        rhyming = {number for number in level if self.rhymes.get(lines[number][-1]) == rhyme}
        marked = (line[:-1] + RHYMING if n in rhyming else line for n, line in enumerate(tones))
        return Form(str(rhyme), tuple(marked))

    def faults(self, lines: Sequence[Sequence[str]], form: Form) -> list[str]:
        """What in a poem does not keep to a form, one fault a line; none for a good poem."""
        if len(lines) != len(form.tones):
            return [f"{len(lines)} lines, not {len(form.tones)}"]
        faults = []
        for number, (line, places) in enumerate(zip(lines, form.places, strict=True), 1):
            if len(line) != len(places):
                faults.append(f"line {number} has {len(line)} signs, not {len(places)}")
                continue
            for at, (sign, place) in enumerate(zip(line, places, strict=True), 1):
                if not self.fits(sign, place):
                    faults.append(f"line {number}: {sign!r} at place {at} {self._is(sign, place)}")
        return faults

    def _is(self, sign: str, place: str) -> str:
        tone, wanted = self.tones.get(sign), LEVEL if place in RHYMES else place
        if tone is None:
            return "has no known tone"
        if tone != wanted:
            return f"is {tone}, not {wanted}"
        return f"rhymes in {self.rhymes.get(sign, 'no known rhyme')}, not in {place}"

    def accuracy(self, lines: Sequence[Sequence[str]], form: Form) -> Accuracy:
        """How much of a poem keeps to a form; what is missing, or is no known sign, does not."""
        places = [(n, at, p) for n, line in enumerate(form.places) for at, p in enumerate(line)]
        signs = {(n, at): sign for n, line in enumerate(lines) for at, sign in enumerate(line)}
        right_tones = [
            self.tones.get(signs.get((n, at), "")) == (LEVEL if p in RHYMES else p)
            for n, at, p in places
        ]
        right_rhymes = [
            bool(lines[n:] and lines[n]) and self.fits(lines[n][-1], line[-1])
            for n, line in enumerate(form.places)
            if line[-1] in RHYMES
        ]
        return Accuracy(
            [len(line) for line in lines] == [len(line) for line in form.tones],
            sum(right_tones) / len(right_tones),
            sum(right_rhymes) / len(right_rhymes) if right_rhymes else None,
            not self.faults(lines, form),
        )


def mandarin_classes(signs: Iterable[str]) -> SignClasses:
    """The classes of signs in today's Mandarin, each by its most usual reading, of pypinyin.

    A sign of several readings has the first one that has a tone; one whose tone is neutral in all
    of them counts as level. What is no Chinese sign has neither a tone nor a rhyme.

    :param signs: of one character each; others are left out.
    :raises UserError: where pypinyin is not installed.
    """
    pypinyin, syllables = _import_pypinyin()
    style = pypinyin.Style.TONE3
    tones, rhymes = {}, {}
    for sign in signs:
        if len(sign) != 1 or sign in tones:
            continue
        readings = pypinyin.pinyin(sign, style=style, heteronym=True, errors="ignore")
        if not readings:
            continue
        toned = [reading for reading in readings[0] if reading[-1] in _OF_TONES]
        reading = (toned or readings[0])[0]
        tones[sign] = _OF_TONES.get(reading[-1], LEVEL)
        rhyme = rhyme_of(syllables.to_initials(reading), syllables.to_finals(reading))
        if rhyme is not None:
            rhymes[sign] = rhyme
    return SignClasses(tones, rhymes)


def rhyme_of(initial: str, final: str) -> str | None:
    """The rhyme of a syllable; None for one that has no final.

    >>> rhyme_of("g", "uang"), rhyme_of("sh", "i"), rhyme_of("x", "i")
    ('ang', 'zhi', 'i')
    """
    if final == "i" and initial in _SIBILANTS:
        return "zhi"
    rhyme = _RHYME_OF_FINALS.get(final, final)
    return rhyme if rhyme in RHYMES else None


def _import_pypinyin() -> tuple[Any, Any]:
    """The package, and its module that takes syllables apart."""
    try:
        return import_module("pypinyin"), import_module("pypinyin.contrib.tone_convert")
    except ImportError as error:
        raise UserError(
            "tones and rhymes of Chinese signs are pypinyin's, which is not installed: "
            "pip install 'pyro-textvae[verse]'"
        ) from error
