# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Short stories with a hidden plan: what happens next, and to whom."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from pyro_textvae.data.languages.hidden_chain import HiddenChain
from pyro_textvae.data.languages.slot import Slot, entropy_of, slot_of_pairs
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Estimate, Example, World, mean_and_error
from pyro_textvae.errors import UserError

_NAMES = [
    ("robert", "bob", "william", "bill", "captain"),
    ("margaret", "maggie", "elizabeth", "lizzie", "neighbour"),
    ("thomas", "tom", "edward", "ned", "baker"),
    ("katherine", "kate", "josephine", "josie", "teacher"),
    ("alexander", "alec", "benjamin", "ben", "driver"),
    ("victoria", "vicky", "susanna", "susie", "doctor"),
]
_ACTS = [
    ("found", "discovered", "lost", "mislaid", "had"),
    ("bought", "purchased", "sold", "traded", "wanted"),
    ("built", "made", "broke", "smashed", "fixed"),
    ("painted", "coloured", "washed", "cleaned", "touched"),
    ("carried", "brought", "threw", "dropped", "took"),
    ("praised", "admired", "hid", "buried", "watched"),
]
_THINGS = "boat lamp chair drum kite clock wagon ladder mirror basket".split()
_TIMES = "today yesterday later twice again".split()
_SHARES = (0.6, 0.3, 0.1)
_TIMED = 0.4
# To the event after, to the one five further on, and to any.
_STEPS = ((1, 0.6), (5, 0.25))


class DocumentsWorld(World):
    r"""Each sentence tells an event; events follow a Markov chain, and its person mostly stays.

    Sentence s says with a word of its own who did it, of 12 persons, and what, of 12 events, and
    with words that tell nothing what to and when. The person of the next sentence is the same with
    the probability of ``stay``, else any other. After each sentence the document ends with the
    probability of ``stop``, and for certain after ``most_sentences``.

    .. math:: p(d) = p(S) \sum_{e, n} p(e_1)\, p(n_1) \prod_{s > 1} p(e_s \mid e_{s - 1})\, p(n_s
        \mid n_{s - 1}) \prod_s p(x_s \mid e_s, n_s)

    Every event and person is as likely as others at every place, so each sentence alone has one
    distribution, and what a model can gain over one of sentences one by one is
    :meth:`information`.

    >>> world = DocumentsWorld()
    >>> text = "robert found the lamp\nbob lost the lamp later"
    >>> world.pointwise_information(text) > 3
    True

    :param stay: probability that the next sentence is of the same person.
    :param stop: probability that the document ends after a sentence.
    :param most_sentences: of a document.
    :param most_values: keep so many persons, events, things and times, an even number.
    :raises UserError: for an option out of its range.
    """

    has_documents = True

    def __init__(
        self,
        stay: float = 0.9,
        stop: float = 0.15,
        most_sentences: int = 12,
        most_values: int | None = None,
    ) -> None:
        for name, value in (("stay", stay), ("stop", stop)):
            if not 0 <= value <= 1:
                raise UserError(f"{name} must be between 0 and 1, got {value}")
        if most_sentences < 1:
            raise UserError(f"most_sentences must be at least 1, got {most_sentences}")
        if most_values is not None and (most_values < 2 or most_values % 2):
            raise UserError(f"most_values must be an even number of at least 2, got {most_values}")
        self.stop, self.most_sentences = stop, most_sentences
        self.names: Slot = slot_of_pairs(_NAMES, _SHARES, most_values)
        self.acts: Slot = slot_of_pairs(_ACTS, _SHARES, most_values)
        self.things = _THINGS[:most_values]
        self.times = _TIMES[:most_values]
        count, persons = len(self.acts), len(self.names)
        self.next_event = np.full((count, count), (1 - sum(p for _, p in _STEPS)) / count)
        """Probabilities of the next event, a row for each, ``(12, 12)``."""
        for step, probability in _STEPS:
            self.next_event += probability * np.roll(np.eye(count), step, 1)
        self.next_person = np.full((persons, persons), (1 - stay) / (persons - 1))
        """Those of the next person, ``(12, 12)``."""
        np.fill_diagonal(self.next_person, stay)
        uniform = np.full(count * persons, 1 / (count * persons))
        self.plan = HiddenChain(uniform, np.kron(self.next_event, self.next_person))
        """The chain of events and persons, the person running faster."""

    @cached_property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        return sorted({"the", *self.names.words, *self.acts.words, *self.things, *self.times})

    @cached_property
    def length_probabilities(self) -> np.ndarray:
        """p(S), for 1 to ``most_sentences`` sentences."""
        going_on = (1 - self.stop) ** np.arange(self.most_sentences)
        shares = going_on * self.stop
        shares[-1] = going_on[-1]
        return shares

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """One document."""
        count = 1 + int(generator.choice(self.most_sentences, p=self.length_probabilities))
        states = self.plan.draw(count, generator)
        plan = [divmod(state, len(self.names)) for state in states]
        return Example("\n".join(self._say(*of_sentence, generator) for of_sentence in plan))

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(document), its number of sentences included, in nats."""
        if source is not None or label is not None:
            raise UserError("world:documents has neither sources nor labels")
        emissions = self._emissions(text)
        if emissions is None:
            return -math.inf
        of_length = self.length_probabilities[len(emissions) - 1]
        return (math.log(of_length) if of_length else -math.inf) + self.plan.log_prob(emissions)

    def sentence_log_prob(self, sentence: str) -> float:
        """log p(sentence), alone and at any place, in nats."""
        emission = self._emission(sentence)
        total = emission.mean()
        return math.log(total) if total > 0 else -math.inf

    @property
    def sentence_entropy(self) -> float:
        """H(sentence), alone and at any place, in nats: a closed form."""
        of_time = entropy_of(np.array([_TIMED, 1 - _TIMED])) + _TIMED * math.log(len(self.times))
        return self.names.entropy + self.acts.entropy + math.log(len(self.things)) + of_time

    @property
    def length_entropy(self) -> float:
        """H(S) in nats."""
        return entropy_of(self.length_probabilities)

    @property
    def mean_length(self) -> float:
        """E[S]."""
        return float(self.length_probabilities @ np.arange(1, self.most_sentences + 1))

    def entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(document) in nats: a closed form of its sentences alone, less :meth:`information`."""
        told = self.information(num_examples, seed)
        alone = self.length_entropy + self.mean_length * self.sentence_entropy
        return Estimate(alone - told.value, told.standard_error)

    def conditional_entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(document) in nats, as nothing is given."""
        return self.entropy(num_examples, seed)

    def information(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """What the sentences of a document tell of each other, nats a document, over draws.

        The most that a model of documents can gain over one of sentences one by one.
        """
        generator = np.random.default_rng(seed)
        return mean_and_error(
            [self.pointwise_information(self.draw(generator).text) for _ in range(num_examples)]
        )

    def pointwise_information(self, text: str) -> float:
        """log p(sentences | S) less the sum of each one's alone, in nats.

        :raises UserError: for a text that the world never draws.
        """
        emissions = self._possible(text)
        return self.plan.log_prob(emissions) - float(np.log(emissions.mean(1)).sum())

    def plan_posterior(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """p(event | document) and p(person | document) of each sentence, exact, ``(S, 12)`` each.

        :raises UserError: for a text that the world never draws.
        """
        posterior = self.plan.posterior(self._possible(text))
        by_sentence = posterior.reshape(-1, len(self.acts), len(self.names))
        return by_sentence.sum(2), by_sentence.sum(1)

    def _possible(self, text: str) -> np.ndarray:
        emissions = self._emissions(text)
        if emissions is None or self.plan.log_prob(emissions) == -np.inf:
            raise UserError(f"world:documents never draws {text[:60]!r}")
        return emissions

    def _say(self, event: int, person: int, generator: np.random.Generator) -> str:
        words = [
            self.names.draw_word(person, generator),
            self.acts.draw_word(event, generator),
            "the",
            self.things[int(generator.integers(len(self.things)))],
        ]
        if generator.random() < _TIMED:
            words.append(self.times[int(generator.integers(len(self.times)))])
        return " ".join(words)

    def _emissions(self, text: str) -> np.ndarray | None:
        """p(sentence | event, person) of each one, ``(S, 144)``; None for too many."""
        sentences = text.split("\n")
        if len(sentences) > self.most_sentences:
            return None
        return np.stack([self._emission(sentence) for sentence in sentences])

    def _emission(self, sentence: str) -> np.ndarray:
        """p(sentence | event, person), ``(144,)``."""
        words = sentence.split(" ")
        if not 4 <= len(words) <= 5 or words[2] != "the" or words[3] not in self.things:
            return np.zeros(len(self.acts) * len(self.names))
        of_rest = 1 / len(self.things)
        if len(words) == 5:
            of_rest *= _TIMED / len(self.times) * (words[4] in self.times)
        else:
            of_rest *= 1 - _TIMED
        of_acts, of_names = (
            slot.emission[:, slot.words.index(word)] if word in slot.words else np.zeros(len(slot))
            for slot, word in ((self.acts, words[1]), (self.names, words[0]))
        )
        return np.outer(of_acts, of_names).ravel() * of_rest
