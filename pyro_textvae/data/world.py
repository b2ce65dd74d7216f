# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Worlds: languages whose sampler and whose probabilities are one piece of code."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from pyro_textvae import zoo
from pyro_textvae.data.records import SplitName
from pyro_textvae.errors import UserError


@dataclass(frozen=True, slots=True)
class Example:
    """One draw from a world: a text, and what it was drawn given.

    :param text: words with a space between; of a document, its sentences with a line end between.
    :param source: the text that it is conditioned on; of every example of a world, or of none.
    :param label: the name of its class; of every example of a world, or of none.
    """

    text: str
    source: str | None = None
    label: str | None = None


class Estimate(NamedTuple):
    """A number in nats and its standard error, which is 0 where the number is exact."""

    value: float
    standard_error: float


class World(ABC):
    """A language of known truth.

    A world of its own file in ``pyro_textvae/data/worlds`` is found by that file's name. Its
    ``__init__`` takes options with defaults, each a plain value.

    >>> world = open_world("paraphrase", {"most_values": 2})
    >>> example = world.draw(np.random.default_rng(0))
    >>> world.log_prob(example.text, source=example.source) < 0
    True
    """

    knows_texts_alone: ClassVar[bool] = True
    """Whether :meth:`log_prob` tells that of a text without its source."""

    has_documents: ClassVar[bool] = False
    """Whether a text is a document, its sentences with a line end between."""

    @property
    @abstractmethod
    def lexicon(self) -> list[str]:
        """All words of texts and sources: with fewer it would be another language."""

    @abstractmethod
    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """One example.

        :param split: a world may keep some words for the test split.
        """

    @abstractmethod
    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text | what is given), in nats; what is not given is summed out.

        ``-inf`` for a text that the world never draws given these.

        :raises UserError: for a source or a label that it never draws.
        """

    def conditional_entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(text | source, label) in nats, by the mean of ``-log_prob`` where it is not exact.

        :param num_examples: how many to draw; at least 2.
        :param seed: of the draws.
        """
        generator = np.random.default_rng(seed)
        examples = [self.draw(generator) for _ in range(num_examples)]
        return mean_and_error(
            [-self.log_prob(e.text, source=e.source, label=e.label) for e in examples]
        )

    def entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(text) in nats, nothing given, by the mean of ``-log_prob`` where it is not exact."""
        generator = np.random.default_rng(seed)
        return mean_and_error(
            [-self.log_prob(self.draw(generator).text) for _ in range(num_examples)]
        )


def mean_and_error(values: list[float]) -> Estimate:
    """The mean of independent values and its standard error."""
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5))


def open_world(name: str, options: Mapping[str, Any]) -> World:
    """The world of this name.

    :param options: of the world's ``__init__``.
    :raises UserError: when there is no such world, or it does not take an option.
    """
    if name not in zoo.names("worlds"):
        near = difflib.get_close_matches(name, zoo.names("worlds"), n=1)
        hint = f"did you mean {near[0]!r}? Known" if near else "known"
        raise UserError(
            f"there is no world {name!r}; {hint}: {', '.join(zoo.names('worlds'))}; one of your "
            "own is a source with the attribute world: --data path/to/file.py:Class"
        )
    world_class = zoo.load("worlds", name)
    accepted = zoo.parameters(world_class)
    for option in sorted(options):
        if option not in accepted:
            raise UserError(
                f"world:{name} has no option {option!r}; it takes: {', '.join(accepted) or 'none'}"
            )
    world: World = zoo.build(world_class, options)
    return world
