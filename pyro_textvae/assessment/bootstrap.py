# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Intervals of numbers over sentences, by resampling the sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Interval = tuple[float, float]
Array = np.ndarray[Any, Any]

_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Bootstrap:
    r"""95 % intervals by the centred percentile bootstrap.

    A resample has sentences twice, so that it has fewer distinct n-grams, and a larger distance to
    other text, than the sample itself: its values lie to one side. Only their spread is used:

    .. math:: [\hat\theta + q_{0.025}(\theta^* - \bar\theta^*),
        \hat\theta + q_{0.975}(\theta^* - \bar\theta^*)]

    Source: Davison and Hinkley (1997), Bootstrap methods and their application, section 5.2,
    https://doi.org/10.1017/CBO9780511802843.

    >>> value, (low, high) = Bootstrap(1000, seed=0).mean(np.array([0.0, 1.0] * 50))
    >>> value, bool(0.35 < low < 0.45 < 0.55 < high < 0.65)
    (0.5, True)

    :param num_resamples: of the sentences.
    :param seed: of the resamples.
    """

    num_resamples: int
    seed: int

    def mean(self, values: Array | Sequence[float]) -> tuple[float, Interval | None]:
        """The mean of a number of each sentence, ``(N,)``, and its interval."""
        numbers = np.asarray(values, dtype=float)
        return self.statistic(
            lambda weights: float(weights @ numbers / weights.sum()), len(numbers)
        )

    def ratio(self, parts: Array, wholes: Array) -> tuple[float, Interval | None]:
        """The sum of ``parts`` over the sum of ``wholes``, each ``(N,)``, and its interval."""
        parts, wholes = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
        return self.statistic(
            lambda weights: float(weights @ parts / (weights @ wholes)), len(parts)
        )

    def statistic(
        self, function: Callable[..., float], *sizes: int, most: int | None = None
    ) -> tuple[float, Interval | None]:
        """Any number of weighted sentences, and its interval.

        :param function: is called with how often each sentence counts, ``(N,)`` int64, an array for
            each of ``sizes``: sets of sentences that are resampled apart.
        :param most: resamples at most, where the number is costly.
        :returns: None for the interval where most resamples do not have the number, as those of
            sentences too short for it.
        """
        generator = np.random.default_rng(self.seed)
        count = self.num_resamples if most is None else min(most, self.num_resamples)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(function(*(np.ones(size, dtype=np.int64) for size in sizes)))
            resampled = np.array(
                [
                    function(*(generator.multinomial(s, np.full(s, 1 / s)) for s in sizes))
                    for _ in range(count)
                ]
            )
        resampled = resampled[np.isfinite(resampled)]
        if len(resampled) < count / 2:
            return value, None
        low, high = np.quantile(resampled - resampled.mean(), _TAILS)
        return value, (float(value + low), float(value + high))
