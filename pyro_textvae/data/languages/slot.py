# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A slot of a frame: hidden values, and the words that each of them is said by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pyro_textvae.errors import UserError


class Slot:
    """Equally likely hidden values, each with a distribution over words; some words are shared.

    >>> slot = Slot([{"doctor": 0.9, "medic": 0.1}, {"nurse": 0.9, "medic": 0.1}])
    >>> slot.posterior("medic")
    array([0.5, 0.5])
    >>> slot.value_of("doctor") == {0}
    True

    :param values: the words of each value, with their probabilities.
    :raises UserError: for probabilities that are negative or do not sum to one.
    """

    def __init__(self, values: Sequence[Mapping[str, float]]) -> None:
        self.words = sorted({word for value in values for word in value})
        self._index = {word: number for number, word in enumerate(self.words)}
        self.emission = np.zeros((len(values), len(self.words)))
        """p(word | value), ``(V, W)``."""
        for number, value in enumerate(values):
            for word, probability in value.items():
                self.emission[number, self._index[word]] = probability
        if not np.allclose(self.emission.sum(1), 1) or (self.emission < 0).any():
            raise UserError("the words of each value need probabilities that sum to 1")
        self.marginal = self.emission.mean(0)
        """p(word), ``(W,)``."""

    def __len__(self) -> int:
        return len(self.emission)

    def draw_value(self, generator: np.random.Generator) -> int:
        """One of the values."""
        return int(generator.integers(len(self)))

    def draw_word(self, value: int, generator: np.random.Generator) -> str:
        """A word for a value."""
        return self.words[int(generator.choice(len(self.words), p=self.emission[value]))]

    def value_of(self, word: str) -> set[int]:
        """The values that ``word`` may stand for; none for an unknown word."""
        column = self._index.get(word)
        return set() if column is None else set(np.flatnonzero(self.emission[:, column]).tolist())

    def posterior(self, word: str) -> np.ndarray:
        """p(value | word), ``(V,)``; zeros for an unknown word."""
        column = self._index.get(word)
        if column is None:
            return np.zeros(len(self))
        likelihood = self.emission[:, column]
        return likelihood / likelihood.sum()

    def probability(self, word: str, given: str | None = None) -> float:
        """p(word), or p(word | another word for the same value)."""
        column = self._index.get(word)
        if column is None:
            return 0.0
        if given is None:
            return float(self.marginal[column])
        return float(self.posterior(given) @ self.emission[:, column])

    @property
    def entropy(self) -> float:
        """H(word) in nats."""
        return entropy_of(self.marginal)

    @property
    def conditional_entropy(self) -> float:
        """H(word | another word for the same value) in nats."""
        # (W, W): row of the word that is given.
        posteriors = (self.emission / self.emission.sum(0)).T
        return float(self.marginal @ [entropy_of(row) for row in posteriors @ self.emission])


def entropy_of(probabilities: np.ndarray) -> float:
    """Entropy of a distribution in nats."""
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


def slot_of_pairs(
    pairs: Sequence[tuple[str, str, str, str, str]],
    weights: tuple[float, float, float],
    most_values: int | None = None,
) -> Slot:
    """A slot whose values come in twos: each has two words of its own and one that both have.

    :param pairs: two words of a value, two of its neighbour, and the one that they share.
    :param weights: probabilities of a value's first, second and shared word.
    :param most_values: keep so many values, an even number.
    """
    values = []
    for first, second, other_first, other_second, shared in pairs:
        values.append(dict(zip((first, second, shared), weights, strict=True)))
        values.append(dict(zip((other_first, other_second, shared), weights, strict=True)))
    return Slot(values[:most_values])
