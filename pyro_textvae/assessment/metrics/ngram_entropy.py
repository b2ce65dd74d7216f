# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How evenly samples use their n-grams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.ngrams import NGrams
from pyro_textvae.assessment.number import Number


class NGramEntropy(Metric):
    r"""The entropy of the n-grams of samples, n = 1 to 4, in nats, at least 0.

    .. math:: -\sum_g \hat p(g) \log \hat p(g), \qquad \hat p(g) = \frac{\#g}{\sum_{g'} \#g'}

    Higher is more varied; real text says how varied is right. Of counts it is too low, the more so
    the fewer the sentences: at most the log of the number of n-grams.

    >>> round(entropy(NGrams([["a", "b"], ["a", "b"]], 1), np.array([1, 1])), 4)
    0.6931

    Source: Zhang et al. (2018), https://arxiv.org/abs/1809.05972.
    """

    title = "samples"

    def measure(self, material: Material) -> list[Number]:
        """Of 1-grams to 4-grams, beside that of as much real text."""
        samples, real = material.samples, material.real
        numbers = []
        for order in range(1, 5):
            grams = NGrams(samples.words, order)
            if not len(grams):
                continue
            value, interval = material.bootstrap.statistic(
                lambda weights, grams=grams: entropy(grams, weights), len(samples)
            )
            numbers.append(
                Number(
                    f"entropy_{order}",
                    f"entropy of {order}-grams",
                    value,
                    interval,
                    len(samples),
                    "samples",
                    unit="nats",
                    better="real",
                    real=_entropy_of(real.words, order),
                )
            )
        return numbers


def entropy(grams: NGrams, weights: np.ndarray) -> float:
    """Plug-in entropy in nats, where sentence i counts ``weights[i]`` times."""
    counts = grams.counts(weights)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _entropy_of(sentences: Sequence[Sequence[str]], order: int) -> float | None:
    grams = NGrams(sentences, order)
    return entropy(grams, np.ones(len(sentences))) if len(grams) else None
