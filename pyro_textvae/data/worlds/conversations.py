# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whole conversations on a hidden topic by hidden acts: a text is all that was said."""

from __future__ import annotations

import math

import numpy as np

from pyro_textvae.data.information_of_lines import information_of_lines
from pyro_textvae.data.languages.slot import entropy_of
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Estimate, Example, World, mean_and_error
from pyro_textvae.data.worlds.dialogue import DialogueWorld
from pyro_textvae.errors import UserError


class ConversationsWorld(World):
    r"""The turns of :class:`DialogueWorld`, all of them the text, one a sentence.

    A conversation has 1 to ``most_turns`` turns, all equally likely. One topic t stays for all of
    it, acts a follow a Markov chain, and an answer mostly repeats the word that was asked about.

    .. math:: p(c) = p(U) \sum_{t, a_1, \dots, a_U} p(t) \prod_u p(a_u \mid a_{u-1})\, p(x_u \mid
        a_u, t, x_{u-1})

    >>> world = ConversationsWorld()
    >>> posterior = world.topic_posterior("do you know the opera\nyes i know the opera")
    >>> int(posterior.argmax())
    3

    :param most_turns: of the longest conversation.
    :raises UserError: for an option out of its range.
    """

    has_documents = True

    def __init__(self, most_turns: int = 6) -> None:
        if most_turns < 1:
            raise UserError(f"most_turns must be at least 1, got {most_turns}")
        self.most_turns = most_turns
        self.dialogue = DialogueWorld()
        """The world of single replies, whose turns these are."""

    @property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        return [word for word in self.dialogue.lexicon if word != "|"]

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """One conversation."""
        count = 1 + int(generator.integers(self.most_turns))
        topic = self.dialogue.topics.draw_value(generator)
        return Example("\n".join(self.dialogue.draw_turns(topic, count, generator)[0]))

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(conversation), its number of turns included, in nats."""
        if source is not None or label is not None:
            raise UserError("world:conversations has neither sources nor labels")
        turns = text.split("\n")
        if len(turns) > self.most_turns:
            return -math.inf
        total = self.dialogue.probability_of_turns(turns).sum()
        return math.log(total / self.most_turns) if total > 0 else -math.inf

    def turn_log_prob(self, turn: str) -> float:
        """log p(turn), alone and at a place of a conversation drawn at random, in nats."""
        total = self.dialogue.probability_at_places(turn, self._place_shares)
        return math.log(total) if total > 0 else -math.inf

    def information(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """What turns tell of each other and of their places, nats a conversation, over draws.

        The most that a model of conversations can gain over one of turns one by one.
        """
        return information_of_lines(self, self.turn_log_prob, self.most_turns, num_examples, seed)

    def topic_posterior(self, text: str) -> np.ndarray:
        """p(topic | conversation), exact, ``(8,)``.

        :raises UserError: for a text that the world never draws.
        """
        joint = self._possible(text)
        return np.asarray(joint.sum(1) / joint.sum())

    def topic_information(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """I(topic; conversation) in nats, over draws: what a latent of the whole can carry."""
        generator = np.random.default_rng(seed)
        count = len(self.dialogue.topics)
        left = [
            entropy_of(self.topic_posterior(self.draw(generator).text)) for _ in range(num_examples)
        ]
        of_topic = mean_and_error(left)
        return Estimate(math.log(count) - of_topic.value, of_topic.standard_error)

    def _possible(self, text: str) -> np.ndarray:
        turns = text.split("\n")
        joint = self.dialogue.probability_of_turns(turns)
        if len(turns) > self.most_turns or joint.sum() <= 0:
            raise UserError(f"world:conversations never draws {text[:60]!r}")
        return joint

    @property
    def _place_shares(self) -> np.ndarray:
        """How often a turn stands at each place, ``(U,)``."""
        reaching = np.arange(self.most_turns, 0, -1)
        return reaching / reaching.sum()
