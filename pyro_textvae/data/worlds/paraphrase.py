# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Two sentences that say one thing: text and source have a hidden frame in common."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import product

import numpy as np

from pyro_textvae.data.languages.slot import Slot, entropy_of, slot_of_pairs
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Estimate, Example, World
from pyro_textvae.errors import UserError

# Two words of a value, two of its neighbour, and one that may mean either.
_PAIRS = {
    "AGENT": [
        ("doctor", "physician", "nurse", "carer", "medic"),
        ("teacher", "schoolmaster", "professor", "lecturer", "instructor"),
        ("child", "kid", "boy", "lad", "youngster"),
        ("thief", "burglar", "pirate", "buccaneer", "robber"),
        ("king", "monarch", "queen", "empress", "sovereign"),
        ("farmer", "grower", "shepherd", "herdsman", "rancher"),
    ],
    "ACT": [
        ("repaired", "fixed", "cleaned", "washed", "restored"),
        ("destroyed", "wrecked", "damaged", "harmed", "ruined"),
        ("bought", "purchased", "borrowed", "rented", "obtained"),
        ("painted", "coloured", "decorated", "adorned", "embellished"),
        ("examined", "inspected", "watched", "observed", "studied"),
    ],
    "THING": [
        ("car", "automobile", "lorry", "truck", "vehicle"),
        ("boat", "dinghy", "ship", "liner", "vessel"),
        ("house", "home", "cottage", "cabin", "dwelling"),
        ("painting", "picture", "statue", "sculpture", "artwork"),
        ("ring", "band", "necklace", "pendant", "jewel"),
        ("letter", "note", "parcel", "package", "delivery"),
    ],
    "PLACE": [
        ("garden", "yard", "park", "common", "green"),
        ("town", "borough", "village", "hamlet", "settlement"),
        ("forest", "wood", "jungle", "rainforest", "thicket"),
        ("kitchen", "galley", "hall", "lobby", "room"),
    ],
    "TIME": [
        ("morning", "dawn", "evening", "dusk", "twilight"),
        ("summer", "heatwave", "spring", "springtime", "holidays"),
        ("war", "conflict", "storm", "tempest", "turmoil"),
    ],
}
_CORES = ("the AGENT ACT the THING", "the THING was ACT by the AGENT")
_PLACE, _TIME = "in the PLACE", "during the TIME"
# Of passive voice, of the place in front, of the time in front.
_SHARES = (0.35, 0.30, 0.40)


class ParaphraseWorld(World):
    r"""A frame of agent, act, thing, place and time; text and source are two sentences of it.

    A sentence draws a voice, whether place and time come first, and a word for each slot's value.
    A tenth of the words may mean either of two values, so that no reader is always right.

    .. math:: p(y \mid x) = p(\text{structure of } y) \prod_{\text{slots}} \sum_v p(v \mid w_x)\,
        p(w_y \mid v)

    >>> world = ParaphraseWorld()
    >>> entropy, _ = world.conditional_entropy()
    >>> round(entropy, 3), round(world.entropy().value, 3), round(world.mutual_information, 3)
    (6.733, 17.218, 10.485)

    :param most_values: keep so many values of each slot, an even number; by default all: 12 agents,
        10 acts, 12 things, 8 places, 6 times.
    :param ambiguity: probability of the word that two values share.
    :raises UserError: for an option out of its range.
    """

    def __init__(self, most_values: int | None = None, ambiguity: float = 0.1) -> None:
        if most_values is not None and (most_values < 2 or most_values % 2):
            raise UserError(f"most_values must be an even number of at least 2, got {most_values}")
        if not 0 < ambiguity < 1:
            raise UserError(f"ambiguity must be between 0 and 1, got {ambiguity}")
        unambiguous = 1 - ambiguity
        weights = (unambiguous * 2 / 3, unambiguous / 3, ambiguity)
        self.slots: dict[str, Slot] = {
            name: slot_of_pairs(pairs, weights, most_values) for name, pairs in _PAIRS.items()
        }
        self._templates = {
            (passive, place_first, time_first): _template(passive, place_first, time_first)
            for passive, place_first, time_first in product((False, True), repeat=3)
        }

    @cached_property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        words = {word for template in self._templates.values() for word in template}
        words -= self.slots.keys()
        return sorted(words.union(*(slot.words for slot in self.slots.values())))

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """Two sentences of one frame."""
        frame = {name: slot.draw_value(generator) for name, slot in self.slots.items()}
        source, text = self.say(frame, generator), self.say(frame, generator)
        return Example(text, source=source)

    def say(self, frame: dict[str, int], generator: np.random.Generator) -> str:
        """A sentence that says a frame: the value of each slot by its name."""
        passive, place_first, time_first = generator.random(3) < _SHARES
        template = self._templates[bool(passive), bool(place_first), bool(time_first)]
        return " ".join(
            self.slots[word].draw_word(frame[word], generator) if word in self.slots else word
            for word in template
        )

    def draw_paraphrase(self, source: str, generator: np.random.Generator) -> str:
        """A draw from p(text | source): a frame that the source may say, said again.

        :raises UserError: for a source that is no sentence of the world.
        """
        posteriors = self.frame_posterior(source)
        frame = {name: int(generator.choice(len(p), p=p)) for name, p in posteriors.items()}
        return self.say(frame, generator)

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text), or log p(text | source), in nats."""
        if label is not None:
            raise UserError(f"world:paraphrase has no labels, got {label!r}")
        given = {} if source is None else self._words_of_source(source)
        parsed = self._parse(text)
        if parsed is None:
            return -math.inf
        structure, words = parsed
        probability = _structure_probability(structure)
        for name, word in words.items():
            probability *= self.slots[name].probability(word, given.get(name))
        return math.log(probability) if probability > 0 else -math.inf

    def conditional_entropy(self, num_examples: int = 0, seed: int = 0) -> Estimate:
        """H(text | source) in nats; exact, so no examples are drawn."""
        words = sum(slot.conditional_entropy for slot in self.slots.values())
        return Estimate(_structure_entropy() + words, 0.0)

    def entropy(self, num_examples: int = 0, seed: int = 0) -> Estimate:
        """H(text) in nats; exact, so no examples are drawn."""
        words = sum(slot.entropy for slot in self.slots.values())
        return Estimate(_structure_entropy() + words, 0.0)

    @property
    def mutual_information(self) -> float:
        """I(text; source) in nats."""
        return self.entropy().value - self.conditional_entropy().value

    def is_paraphrase(self, text: str, source: str) -> bool:
        """Whether one frame can have been said by both.

        :raises UserError: for a source that is no sentence of the world.
        """
        return self.log_prob(text, source=source) > -math.inf

    def log_bayes_factor(self, text: str, other: str) -> float:
        """log p(both | one frame) - log p(both | two frames), in nats."""
        return self.log_prob(text, source=other) - self.log_prob(text)

    def frame_posterior(self, text: str) -> dict[str, np.ndarray]:
        """p(value | text) of each slot, ``(V,)`` each.

        :raises UserError: for text that is no sentence of the world.
        """
        words = self._words_of_source(text)
        return {name: slot.posterior(words[name]) for name, slot in self.slots.items()}

    def equivalents(self, source: str) -> Iterator[tuple[str, float]]:
        """Every text that the source's frame can be said by, with its log-probability in nats.

        There are many thousands; with ``most_values=2``, 8 structures of 3 words a slot.

        :raises UserError: for a source that is no sentence of the world.
        """
        given = self._words_of_source(source)
        words = {
            name: [w for w in slot.words if slot.probability(w, given[name]) > 0]
            for name, slot in self.slots.items()
        }
        for template in self._templates.values():
            for drawn in product(*words.values()):
                said = dict(zip(words, drawn, strict=True))
                text = " ".join(said.get(word, word) for word in template)
                yield text, self.log_prob(text, source=source)

    def _words_of_source(self, source: str) -> dict[str, str]:
        parsed = self._parse(source)
        if parsed is None:
            raise UserError(f"{source!r} is no sentence of world:paraphrase")
        return parsed[1]

    def _parse(self, text: str) -> tuple[tuple[bool, bool, bool], dict[str, str]] | None:
        """The structure of a sentence and its word for each slot."""
        words = text.split(" ")
        for structure, template in self._templates.items():
            if len(words) != len(template):
                continue
            said = {m: word for m, word in zip(template, words, strict=True) if m in self.slots}
            if [said.get(mark, mark) for mark in template] == words and all(
                self.slots[name].value_of(word) for name, word in said.items()
            ):
                return structure, said
        return None


def _template(passive: bool, place_first: bool, time_first: bool) -> list[str]:
    before = [phrase for phrase, first in ((_PLACE, place_first), (_TIME, time_first)) if first]
    after = [phrase for phrase, first in ((_PLACE, place_first), (_TIME, time_first)) if not first]
    return " ".join([*before, _CORES[passive], *after]).split()


def _structure_probability(structure: tuple[bool, bool, bool]) -> float:
    return math.prod(p if has else 1 - p for p, has in zip(_SHARES, structure, strict=True))


def _structure_entropy() -> float:
    return sum(entropy_of(np.array([share, 1 - share])) for share in _SHARES)
