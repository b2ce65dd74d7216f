# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Short articles and their headlines, with names that training has not seen."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from pyro_textvae.data.languages.slot import Slot, slot_of_pairs
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Example, World
from pyro_textvae.errors import UserError

_SYLLABLES = "ba ko ri mu ten sal dor vi na pel gro fi".split()
_ACTS = [
    ("buys", "purchases", "rents", "leases", "takes"),
    ("opens", "unveils", "closes", "shuts", "changes"),
    ("praises", "applauds", "blames", "attacks", "discusses"),
    ("builds", "constructs", "repairs", "restores", "improves"),
]
_THINGS = [
    ("bank", "lender", "factory", "plant", "company"),
    ("school", "academy", "hospital", "clinic", "institute"),
    ("bridge", "viaduct", "road", "highway", "route"),
    ("film", "movie", "book", "novel", "story"),
]
_SHARES = (0.6, 0.3, 0.1)
# An event as a sentence of the article, the second mention, and the two forms of a headline.
_SENTENCE = "NAME ACT the THING ."
_MENTION = "everyone talks of NAME ."
_ACTIVE, _PASSIVE = "NAME ACT THING", "THING : NAME ACT it"
_ACTIVE_SHARE = 0.7


class _Event(NamedTuple):
    """A sentence of an article: who does what to which thing, in words."""

    name: str
    act: str
    thing: str


class HeadlinesWorld(World):
    r"""An article tells 3 to 6 events of people of different names; the headline is about one.

    The event k is drawn, earlier ones more often, and with the probability of ``mention`` the last
    sentence of the article names its person again; else it names anyone. The headline says event k
    in telegraph style, with its name as it stands and its own words for act and thing. In the test
    split half of the names are of those that train and valid never have.

    .. math:: p(h \mid d) = \sum_k p(k \mid d)\, p(h \mid \text{event } k)

    >>> world = HeadlinesWorld()
    >>> article = "bako buys the bank . riten opens the school . mudor builds the road ."
    >>> p = world.event_posterior(article + " everyone talks of riten .")
    >>> int(p.argmax())
    1

    :param mention: probability that the second mention is of the headline's person.
    :raises UserError: for an option out of its range.
    """

    knows_texts_alone = False

    def __init__(self, mention: float = 0.8) -> None:
        if not 0 <= mention <= 1:
            raise UserError(f"mention must be between 0 and 1, got {mention}")
        self.mention = mention
        self.acts: Slot = slot_of_pairs(_ACTS, _SHARES)
        self.things: Slot = slot_of_pairs(_THINGS, _SHARES)
        names = ["".join(pair) for pair in product(_SYLLABLES, repeat=2) if pair[0] != pair[1]]
        # Every fourth, so that each syllable stands in names of both kinds.
        self.unseen_names = names[::4]
        """Names that the train and valid splits never have."""
        self.seen_names = [name for name in names if name not in set(self.unseen_names)]

    @cached_property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        templates = (_SENTENCE, _MENTION, _ACTIVE, _PASSIVE)
        words = {word for template in templates for word in template.split()}
        words -= {"NAME", "ACT", "THING"}
        of_slots = {*self.acts.words, *self.things.words}
        return sorted(words | of_slots | {*self.seen_names, *self.unseen_names})

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """A headline and its article."""
        count = int(generator.integers(3, 7))
        names: list[str] = []
        while len(names) < count:
            unseen = split == "test" and generator.random() < 0.5
            name = str(generator.choice(self.unseen_names if unseen else self.seen_names))
            if name not in names:
                names.append(name)
        acts = [self.acts.draw_value(generator) for _ in names]
        things = [self.things.draw_value(generator) for _ in names]
        events = [
            _Event(name, self.acts.draw_word(act, generator), self.things.draw_word(t, generator))
            for name, act, t in zip(names, acts, things, strict=True)
        ]
        about = int(generator.choice(count, p=_shares(count)))
        faithful = generator.random() < self.mention
        mentioned = names[about] if faithful else str(generator.choice(names))
        form = _ACTIVE if generator.random() < _ACTIVE_SHARE else _PASSIVE
        headline = _Event(
            names[about],
            self.acts.draw_word(acts[about], generator),
            self.things.draw_word(things[about], generator),
        )
        sentences = [_say(_SENTENCE, event) for event in events]
        mention = _MENTION.replace("NAME", mentioned)
        return Example(_say(form, headline), source=" ".join([*sentences, mention]))

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text | source) in nats; refused without a source, as names depend on the split."""
        if label is not None:
            raise UserError(f"world:headlines has no labels, got {label!r}")
        if source is None:
            raise UserError("world:headlines tells the probability of a headline given its article")
        events, _ = self._read(source)
        headline = self._parse_headline(text)
        if headline is None:
            return -math.inf
        share, said = headline
        probability = 0.0
        for weight, event in zip(self.event_posterior(source), events, strict=True):
            if said.name == event.name:
                act = self.acts.probability(said.act, event.act)
                probability += weight * act * self.things.probability(said.thing, event.thing)
        return math.log(share * probability) if probability > 0 else -math.inf

    def event_posterior(self, source: str) -> np.ndarray:
        """p(the headline is of event k | source), ``(E,)``, exact.

        :raises UserError: for a source that is no article of the world.
        """
        events, mentioned = self._read(source)
        count = len(events)
        is_it = np.array([event.name == mentioned for event in events])
        joint = _shares(count) * (self.mention * is_it + (1 - self.mention) / count)
        return joint / joint.sum()

    def lead(self, source: str) -> str:
        """The headline of the first event in the article's own words: the usual baseline.

        :raises UserError: for a source that is no article of the world.
        """
        return _say(_ACTIVE, self._read(source)[0][0])

    def name_of(self, text: str) -> str | None:
        """The name in a headline; None for text that is none."""
        headline = self._parse_headline(text)
        return None if headline is None else headline[1].name

    def names_told(self, text: str, source: str) -> list[str]:
        """The people of whose events a headline can be, by its words for act and thing alone.

        >>> article = "bako buys the bank . riten opens the school . mudor builds the road ."
        >>> source = article + " everyone talks of riten ."
        >>> HeadlinesWorld().names_told("mudor unveils academy", source)
        ['riten']

        :raises UserError: for a source that is no article of the world.
        """
        headline = self._parse_headline(text)
        if headline is None:
            return []
        _, said = headline
        return [
            event.name
            for event in self._read(source)[0]
            if self.acts.probability(said.act, event.act) > 0
            and self.things.probability(said.thing, event.thing) > 0
        ]

    def _parse_headline(self, text: str) -> tuple[float, _Event] | None:
        words = text.split(" ")
        for form, share in ((_ACTIVE, _ACTIVE_SHARE), (_PASSIVE, 1 - _ACTIVE_SHARE)):
            event = _match(form, words)
            if event is not None:
                return share, event
        return None

    def _read(self, source: str) -> tuple[list[_Event], str]:
        """The events of an article, and the name in its last sentence."""
        *sentences, last = [f"{part.strip()} ." for part in source.split(" .")[:-1]] or [""]
        events = [_match(_SENTENCE, sentence.split(" ")) for sentence in sentences]
        mention = _match(_MENTION, last.split(" "))
        names = [event.name for event in events if event is not None]
        known = {*self.seen_names, *self.unseen_names}
        if (
            mention is None
            or not 3 <= len(events) <= 6
            or len({*names} & known) != len(events)
            or mention.name not in names
        ):
            raise UserError(f"{source!r} is no article of world:headlines")
        return [event for event in events if event is not None], mention.name


def _shares(count: int) -> np.ndarray:
    """How often a headline is of each event of an article."""
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


def _say(template: str, event: _Event) -> str:
    marks = {"NAME": event.name, "ACT": event.act, "THING": event.thing}
    return " ".join(marks.get(word, word) for word in template.split(" "))


def _match(template: str, words: list[str]) -> _Event | None:
    marks = template.split(" ")
    if len(marks) != len(words):
        return None
    said = {mark: word for mark, word in zip(marks, words, strict=True) if mark.isupper()}
    event = _Event(said.get("NAME", ""), said.get("ACT", ""), said.get("THING", ""))
    return event if _say(template, event) == " ".join(words) else None
