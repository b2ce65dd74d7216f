# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How many different n-grams samples have."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.ngram_statistic import NGramStatistic
from pyro_textvae.assessment.ngrams import NGrams
from pyro_textvae.assessment.number import SHARE


class Distinct(NGramStatistic):
    r"""The share of n-grams that are distinct, n = 1 to 4, in (0, 1].

    .. math:: \text{distinct-}n = \frac{\#\{\text{distinct n-grams}\}}{\#\{\text{n-grams}\}}

    Higher is more varied; real text says how varied is right. It falls with the number of sentences
    and with their length, so that two numbers are comparable at one number of sentences alone.

    >>> distinct(NGrams([["a", "b"], ["a", "c"]], 1), np.array([1, 1]))
    0.75

    Source: Li et al. (2016), https://aclanthology.org/N16-1014/.
    """

    name = "distinct_{}"
    label = "distinct-{}"
    bounds = SHARE
    compared = 2

    def of(self, grams: NGrams, weights: np.ndarray) -> float:
        """See :func:`distinct`."""
        return distinct(grams, weights)


def distinct(grams: NGrams, weights: np.ndarray) -> float:
    """Distinct n-grams over all, where sentence i counts ``weights[i]`` times."""
    counts = grams.counts(weights)
    return float((counts > 0).sum() / counts.sum())
