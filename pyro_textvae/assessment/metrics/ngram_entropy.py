# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How evenly samples use their n-grams."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.ngram_statistic import NGramStatistic
from pyro_textvae.assessment.ngrams import NGrams


class NGramEntropy(NGramStatistic):
    r"""The entropy of the n-grams of samples, n = 1 to 4, in nats, at least 0.

    .. math:: -\sum_g \hat p(g) \log \hat p(g), \qquad \hat p(g) = \frac{\#g}{\sum_{g'} \#g'}

    Higher is more varied; real text says how varied is right. Of counts it is too low, the more so
    the fewer the sentences: at most the log of the number of n-grams.

    >>> round(entropy(NGrams([["a", "b"], ["a", "b"]], 1), np.array([1, 1])), 4)
    0.6931

    Source: Zhang et al. (2018), https://arxiv.org/abs/1809.05972.
    """

    name = "entropy_{}"
    label = "entropy of {}-grams"
    unit = "nats"

    def of(self, grams: NGrams, weights: np.ndarray) -> float:
        """See :func:`entropy`."""
        return entropy(grams, weights)


def entropy(grams: NGrams, weights: np.ndarray) -> float:
    """Plug-in entropy in nats, where sentence i counts ``weights[i]`` times."""
    counts = grams.counts(weights)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
