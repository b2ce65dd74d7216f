# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A conversation on a hidden topic by hidden acts: a reply, and what was said before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pyro_textvae.data.languages.slot import Slot, entropy_of, slot_of_pairs
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.turns import TURN
from pyro_textvae.data.world import Estimate, Example, World, mean_and_error
from pyro_textvae.errors import UserError

_TOPICS = [
    ("bread", "cake", "soup", "stew", "dinner"),
    ("piano", "violin", "opera", "ballet", "concert"),
    ("football", "tennis", "chess", "cards", "match"),
    ("river", "lake", "mountain", "valley", "view"),
]
# Two forms of an act, two of its neighbour, and one that may be of either.
_ACTS = [
    ("the X is good", "i enjoyed the X", "the X is bad", "i hated the X", "oh the X"),
    (
        "do you know the X",
        "what about the X",
        "you should try the X",
        "go and see the X",
        "the X ?",
    ),
    (
        "yes i know the X",
        "of course the X",
        "no never the X",
        "i would not like the X",
        "well the X",
    ),
]
_ACT_NAMES = ("praise", "complaint", "question", "advice", "yes", "no")
# From each act to the next: a question is answered, an answer followed by an opinion.
_NEXT = np.array(
    [
        [0.20, 0.10, 0.30, 0.20, 0.15, 0.05],
        [0.10, 0.20, 0.20, 0.30, 0.05, 0.15],
        [0.05, 0.05, 0.05, 0.05, 0.50, 0.30],
        [0.10, 0.10, 0.10, 0.10, 0.35, 0.25],
        [0.35, 0.05, 0.30, 0.20, 0.05, 0.05],
        [0.05, 0.35, 0.25, 0.25, 0.05, 0.05],
    ]
)
_FIRST = np.array([0.25, 0.2, 0.35, 0.2, 0.0, 0.0])
_SHARES = (0.6, 0.3, 0.1)
_QUESTION, _ANSWERS, _REPEATED = 2, (4, 5), 0.9


class DialogueWorld(World):
    r"""Turns of a conversation: one topic t for all, acts a that follow a Markov chain.

    A turn is a form of its act with a word of the topic. An answer to what was worded as a question
    repeats its word nine times in ten. Forms and words that two acts or two topics share keep both
    uncertain, so a reply is predicted by the forward algorithm over :math:`(t, a_u)`:

    .. math:: p(y \mid x) = \frac{p(x, y)}{p(x)}, \qquad p(x_1, \dots, x_n) = \sum_{t, a_1, \dots,
        a_n} p(t) \prod_u p(a_u \mid a_{u-1})\, p(x_u \mid a_u, t, x_{u-1})

    The source is what was said before, its turns with ``|`` between.

    >>> world = DialogueWorld()
    >>> p = world.act_posterior("do you know the opera")
    >>> max(p, key=p.get)
    'yes'
    >>> world.log_prob("yes i know the opera", source="do you know the opera") > -1.5
    True

    :param most_turns: longest source; a source has 1 to so many turns, all equally likely.
    :param labels: whether the act of the reply is given as a label.
    :raises UserError: for an option out of its range.
    """

    acts = _ACT_NAMES
    """The names of the acts, which are the labels."""

    def __init__(self, most_turns: int = 3, labels: bool = False) -> None:
        if most_turns < 1:
            raise UserError(f"most_turns must be at least 1, got {most_turns}")
        self.most_turns = most_turns
        self.has_labels = labels
        self.topics: Slot = slot_of_pairs(_TOPICS, _SHARES)
        self.forms: Slot = slot_of_pairs(_ACTS, _SHARES)

    @cached_property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        words = {word for form in self.forms.words for word in form.split()} - {"X"}
        return sorted(words | {TURN, *self.topics.words})

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """A reply and what was said before it."""
        topic = self.topics.draw_value(generator)
        num_turns = 1 + int(generator.integers(self.most_turns))
        turns, act = self.draw_turns(topic, num_turns + 1, generator)
        label = _ACT_NAMES[act] if self.has_labels else None
        return Example(turns[-1], source=f" {TURN} ".join(turns[:-1]), label=label)

    def draw_turns(
        self, topic: int, count: int, generator: np.random.Generator
    ) -> tuple[list[str], int]:
        """The first turns of a conversation on a topic, and the act of the last of them."""
        turns: list[str] = []
        act, shares = 0, _FIRST
        for _ in range(count):
            act = int(generator.choice(len(_ACT_NAMES), p=shares))
            turns.append(self._say(act, topic, turns, generator))
            shares = _NEXT[act]
        return turns, act

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text), log p(text | source), or either given the act of the text too, in nats."""
        of_act = slice(None) if label is None else self._act(label)
        weights = self._reply(text, source)[:, of_act].sum()
        given = self._before_reply(source)[:, of_act].sum()
        if given == 0:
            raise UserError(f"world:dialogue never draws the act {label!r} after {source!r}")
        return math.log(weights / given) if weights > 0 else -math.inf

    def act_posterior(self, source: str, text: str | None = None) -> dict[str, float]:
        """p(act of the reply | source), or given the reply too, exact.

        :raises UserError: for a source, or a reply to it, that the world never draws.
        """
        of_acts = self._posterior(source, text).sum(0)
        return dict(zip(_ACT_NAMES, of_acts, strict=True))

    def topic_posterior(self, source: str, text: str | None = None) -> np.ndarray:
        """p(topic | source), or given the reply too, exact, ``(8,)``.

        :raises UserError: for a source, or a reply to it, that the world never draws.
        """
        return self._posterior(source, text).sum(1)

    def _posterior(self, source: str, text: str | None) -> np.ndarray:
        """p(topic, act of the reply | source), or given the reply too."""
        joint = self._before_reply(source) if text is None else self._reply(text, source)
        if joint.sum() == 0:
            raise UserError(f"world:dialogue never draws {text or source!r}")
        return joint / joint.sum()

    def act_entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(act of the reply | source) in nats, by the mean over draws."""
        generator = np.random.default_rng(seed)
        entropies = []
        for _ in range(num_examples):
            posterior = self.act_posterior(self.draw(generator).source or "")
            entropies.append(entropy_of(np.array([*posterior.values()])))
        return mean_and_error(entropies)

    def _act(self, label: str) -> int:
        if label not in _ACT_NAMES:
            raise UserError(f"world:dialogue has the labels {', '.join(_ACT_NAMES)}, not {label!r}")
        return _ACT_NAMES.index(label)

    def _say(
        self, act: int, topic: int, turns: Sequence[str], generator: np.random.Generator
    ) -> str:
        form = self.forms.draw_word(act, generator)
        asked = self._asked(turns[-1]) if turns and act in _ANSWERS else None
        if asked is not None and generator.random() < _REPEATED:
            return form.replace("X", asked)
        return form.replace("X", self.topics.draw_word(topic, generator))

    def _asked(self, turn: str) -> str | None:
        """The word that a turn asks about; None where it is not worded as a question."""
        parsed = self._parse(turn)
        if parsed is None or _QUESTION not in self.forms.value_of(parsed[0]):
            return None
        return parsed[1]

    def _parse(self, turn: str) -> tuple[str, str] | None:
        """The form of a turn and its word."""
        return self._turns.get(turn)

    @cached_property
    def _turns(self) -> dict[str, tuple[str, str]]:
        return {
            form.replace("X", word): (form, word)
            for form in self.forms.words
            for word in self.topics.words
        }

    def _emission(self, turn: str, before: str | None) -> np.ndarray:
        """p(turn | topic, act, the turn before), ``(T, A)``."""
        parsed = self._parse(turn)
        if parsed is None:
            return np.zeros((len(self.topics), len(_ACT_NAMES)))
        form, word = parsed
        of_form = self.forms.emission[:, self.forms.words.index(form)]
        of_word = self.topics.emission[:, self.topics.words.index(word)]
        emission = np.outer(of_word, of_form)
        asked = None if before is None else self._asked(before)
        if asked is not None:
            for act in _ANSWERS:
                repeated = _REPEATED * (word == asked) + (1 - _REPEATED) * of_word
                emission[:, act] = repeated * of_form[act]
        return emission

    def probability_of_turns(self, turns: Sequence[str]) -> np.ndarray:
        """p(turns, topic, act of the next), ``(T, A)``."""
        state = np.outer(np.full(len(self.topics), 1 / len(self.topics)), _FIRST)
        for number, turn in enumerate(turns):
            before = turns[number - 1] if number else None
            state = (state * self._emission(turn, before)) @ _NEXT
        return state

    def probability_at_places(self, turn: str, shares: np.ndarray) -> float:
        """p(turn) at a place of a conversation that is drawn with these shares.

        Given the topic, the word of a turn has the same distribution whatever was said before.
        """
        of_acts, at_place = np.zeros(len(_FIRST)), _FIRST
        for share in shares:
            of_acts = of_acts + share * at_place
            at_place = at_place @ _NEXT
        return float((self._emission(turn, None) @ of_acts).mean())

    def _before_reply(self, source: str | None) -> np.ndarray:
        """p(source, topic, act of the reply); without a source p(topic, act of the reply)."""
        if source is not None:
            turns = source.split(f" {TURN} ")
            state = self.probability_of_turns(turns)
            if state.sum() == 0 or len(turns) > self.most_turns:
                raise UserError(f"world:dialogue never draws the source {source!r}")
            return state
        shares, after = _FIRST, np.zeros(len(_FIRST))
        for _ in range(self.most_turns):
            shares = shares @ _NEXT
            after += shares / self.most_turns
        return np.outer(np.full(len(self.topics), 1 / len(self.topics)), after)

    def _reply(self, text: str, source: str | None) -> np.ndarray:
        """p(source, text, topic, act of the text); without a source p(text, topic, act).

        Given the topic, the word of a turn has the same distribution whatever its form and act, so
        without a source a word that answers is distributed as any other.
        """
        before = None if source is None else source.rpartition(f" {TURN} ")[2]
        return self._before_reply(source) * self._emission(text, before)
