# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that are positive or negative in their words, so that no reader is always right."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from pyro_textvae.data.labelled_world import LabelledWorld
from pyro_textvae.data.languages.grammar import Grammar
from pyro_textvae.data.languages.slot import entropy_of
from pyro_textvae.data.languages.synthetic_language import classes_of_words, shipped_grammar_text
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Estimate, Example, mean_and_error
from pyro_textvae.errors import UserError

_LABELS = ("negative", "positive")
# The other words of these classes are the negative ones.
_POSITIVE = {
    "PersonAdjective": "young clever kind famous rich brave gentle proud cheerful patient wise"
    " lucky",
    "ThingAdjective": "big new good green white beautiful warm golden shiny quiet yellow",
    "Acts": "laughed smiled sang danced arrived whistled listened rested worked travelled",
    "Meets": "met helped loved visited thanked married trusted greeted invited praised",
    "Manner": "quickly quietly carefully finally happily gladly politely eagerly calmly",
}


class SentimentWorld(LabelledWorld):
    r"""The shipped grammar, with the weights of adjectives, verbs and adverbs tilted by a class.

    A class y is drawn, then a sentence of its grammar, in which words of the class are
    :math:`e^{2\delta}` times as likely against those of the other as they were. The label is y,
    or the other one with the probability of noise.

    >>> world = SentimentWorld()
    >>> posterior = world.label_posterior("mary happily smiled")
    >>> posterior["positive"] > 0.5
    True

    :param delta: how far apart the classes are, at least 0.
    :param noise: probability that the label is the other one, below 0.5.
    :raises UserError: for an option out of its range.
    """

    labels = _LABELS
    """The names of the labels."""

    def __init__(self, delta: float = 1.0, noise: float = 0.0) -> None:
        if not 0 <= delta < math.inf:
            raise UserError(f"delta must be a number of at least 0, got {delta}")
        if not 0 <= noise < 0.5:
            raise UserError(f"noise must be at least 0 and below 0.5, got {noise}")
        self.noise = noise
        signs = _signs()
        self.grammars = tuple(
            Grammar(
                shipped_grammar_text(
                    {word: math.exp(delta * sign * side) for word, sign in signs.items()}
                )
            )
            for side in (-1, 1)
        )
        """The language of each class, in the order of the labels."""

    @property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        return self.grammars[0].lexicon

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """One sentence and its label."""
        drawn = int(generator.integers(2))
        label = 1 - drawn if generator.random() < self.noise else drawn
        return Example(" ".join(self.grammars[drawn].sample(generator)), label=_LABELS[label])

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text), or log p(text | label), in nats."""
        if source is not None:
            raise UserError(f"world:sentiment has no sources, got {source!r}")
        shares = np.array([0.5, 0.5]) if label is None else self._class_given(label)
        possible = shares > 0
        joint = np.log(shares[possible]) + self._by_class(text)[possible]
        return float(np.logaddexp.reduce(joint))

    def conditional_entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(text | label) in nats; exact without noise."""
        if self.noise:
            return super().conditional_entropy(num_examples, seed)
        return Estimate(self._entropy_given_class, 0.0)

    def entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(text) in nats: exact given the class, and what the text tells of it by draws."""
        generator = np.random.default_rng(seed)
        left = []
        for _ in range(num_examples):
            joint = self._by_class(self.draw(generator).text)
            left.append(entropy_of(np.exp(joint - np.logaddexp.reduce(joint))))
        of_class = mean_and_error(left)
        told = math.log(2) - of_class.value
        return Estimate(self._entropy_given_class + told, of_class.standard_error)

    @property
    def _entropy_given_class(self) -> float:
        return float(np.mean([grammar.entropy for grammar in self.grammars]))

    def label_posterior(self, text: str) -> dict[str, float]:
        """p(label | text), exact.

        :raises UserError: for text that is no sentence of the world.
        """
        joint = self._by_class(text)
        if joint.max() == -np.inf:
            raise UserError(f"{text!r} is no sentence of world:sentiment")
        of_class = np.exp(joint - np.logaddexp.reduce(joint))
        return {name: float(self._class_given(name) @ of_class) for name in _LABELS}

    def _by_class(self, text: str) -> np.ndarray:
        words = text.split(" ")
        return np.array([grammar.log_prob(words) for grammar in self.grammars])

    @cached_property
    def _class_by_label(self) -> dict[str, np.ndarray]:
        kept, other = 1 - self.noise, self.noise
        return dict(zip(_LABELS, np.array([[kept, other], [other, kept]]), strict=True))

    def _class_given(self, label: str) -> np.ndarray:
        """p(class | label), which is p(label | class), as the classes are equally likely."""
        if label not in self._class_by_label:
            raise UserError(f"world:sentiment has the labels {', '.join(_LABELS)}, not {label!r}")
        return self._class_by_label[label]


def _signs() -> dict[str, int]:
    """1 for a positive word, -1 for a negative one."""
    classes = classes_of_words()
    return {
        word: 1 if word in positive.split() else -1
        for name, positive in _POSITIVE.items()
        for word in classes[name]
    }
