# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Worlds that know how likely each label is given a text."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from pyro_textvae.data.languages.slot import entropy_of
from pyro_textvae.data.world import Estimate, World, mean_and_error


class LabelledWorld(World):
    """A world with p(label | text), and so with what the best reader of labels gets right."""

    @abstractmethod
    def label_posterior(self, text: str) -> dict[str, float]:
        """p(label | text), exact.

        :raises UserError: for a text that the world never draws.
        """

    def label_entropy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """H(label | text) in nats, by the mean over draws."""
        return mean_and_error(
            [entropy_of(np.array([*p.values()])) for p in self._posteriors(num_examples, seed)]
        )

    def bayes_accuracy(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """What the best reader gets right: the mean of max p(label | text) over draws."""
        return mean_and_error([max(p.values()) for p in self._posteriors(num_examples, seed)])

    def _posteriors(self, num_examples: int, seed: int) -> list[dict[str, float]]:
        generator = np.random.default_rng(seed)
        return [self.label_posterior(self.draw(generator).text) for _ in range(num_examples)]
