# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A hidden Markov chain: what it draws, and the exact probability of what is seen of it."""

from __future__ import annotations

import numpy as np


class HiddenChain:
    r"""States that follow each other, each of which shows something.

    .. math:: p(x_1, \dots, x_S) = \sum_{h_1, \dots, h_S} p(h_1)\, p(x_1 \mid h_1) \prod_{s > 1}
        p(h_s \mid h_{s - 1})\, p(x_s \mid h_s)

    Source: Rabiner (1989), A tutorial on hidden Markov models, https://doi.org/10.1109/5.18626.

    >>> chain = HiddenChain(np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    >>> round(float(np.exp(chain.log_prob(np.array([[0.5, 0.1], [0.2, 0.4]])))), 6)
    0.15

    :param first: probabilities of the first state, ``(H,)``.
    :param following: probabilities of the next state, a row for each state, ``(H, H)``.
    """

    def __init__(self, first: np.ndarray, following: np.ndarray) -> None:
        self.first = first
        self.following = following

    def draw(self, length: int, generator: np.random.Generator) -> list[int]:
        """The states of a chain."""
        states: list[int] = []
        shares = self.first
        for _ in range(length):
            states.append(int(generator.choice(len(shares), p=shares)))
            shares = self.following[states[-1]]
        return states

    def log_prob(self, emissions: np.ndarray) -> float:
        """log p(all that is seen) in nats; ``-inf`` where it is impossible.

        :param emissions: probability of what is seen at each place given each state, ``(S, H)``.
        """
        total, shares = 0.0, self.first
        for emission in emissions:
            joint = shares * emission
            of_place = joint.sum()
            if of_place <= 0:
                return -np.inf
            total += float(np.log(of_place))
            shares = joint / of_place @ self.following
        return total

    def posterior(self, emissions: np.ndarray) -> np.ndarray:
        """p(state at each place | all that is seen), ``(S, H)``, by forward and backward passes.

        :param emissions: as in :meth:`log_prob`, of what is possible.
        """
        forward = np.zeros_like(emissions)
        shares = self.first
        for place, emission in enumerate(emissions):
            joint = shares * emission
            forward[place] = joint / joint.sum()
            shares = forward[place] @ self.following
        backward = np.ones(emissions.shape[1])
        posterior = np.zeros_like(emissions)
        for place in range(len(emissions) - 1, -1, -1):
            joint = forward[place] * backward
            posterior[place] = joint / joint.sum()
            backward = self.following @ (emissions[place] * backward)
            backward /= backward.sum()
        return posterior
