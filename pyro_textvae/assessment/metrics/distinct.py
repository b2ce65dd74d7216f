# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How many different n-grams samples have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.ngrams import NGrams
from pyro_textvae.assessment.number import SHARE, Number


class Distinct(Metric):
    r"""The share of n-grams that are distinct, n = 1 to 4, in (0, 1].

    .. math:: \text{distinct-}n = \frac{\#\{\text{distinct n-grams}\}}{\#\{\text{n-grams}\}}

    Higher is more varied; real text says how varied is right. It falls with the number of sentences
    and with their length, so that two numbers are comparable at one number of sentences alone.

    >>> distinct(NGrams([["a", "b"], ["a", "c"]], 1), np.array([1, 1]))
    0.75

    Source: Li et al. (2016), https://aclanthology.org/N16-1014/.
    """

    title = "samples"

    def measure(self, material: Material) -> list[Number]:
        """Distinct-1 to distinct-4, beside those of as much real text."""
        samples, real = material.samples, material.real
        numbers = []
        for order in range(1, 5):
            grams = NGrams(samples.words, order)
            if not len(grams):
                continue
            value, interval = material.bootstrap.statistic(
                lambda weights, grams=grams: distinct(grams, weights), len(samples)
            )
            numbers.append(
                Number(
                    f"distinct_{order}",
                    f"distinct-{order}",
                    value,
                    interval,
                    len(samples),
                    "samples",
                    better="real",
                    real=_distinct_of(real.words, order),
                    column="distinct-2" if order == 2 else "",
                    bounds=SHARE,
                )
            )
        return numbers


def distinct(grams: NGrams, weights: np.ndarray) -> float:
    """Distinct n-grams over all, where sentence i counts ``weights[i]`` times."""
    counts = grams.counts(weights)
    return float((counts > 0).sum() / counts.sum())


def _distinct_of(sentences: Sequence[Sequence[str]], order: int) -> float | None:
    grams = NGrams(sentences, order)
    return distinct(grams, np.ones(len(sentences))) if len(grams) else None
