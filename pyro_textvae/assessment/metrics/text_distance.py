# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How far samples are from real text in their lengths and in their words."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.ngrams import NGrams
from pyro_textvae.assessment.number import Number
from pyro_textvae.assessment.sentences import Sentences

Array = np.ndarray[Any, Any]


class TextDistance(Metric):
    r"""Distances between samples and text: of lengths in words, and of the frequencies of words.

    .. math::
        W_1 = \sum_l |F(l) - G(l)|, \qquad
        \text{JS} = H\left(\tfrac{p + q}{2}\right) - \tfrac{1}{2} H(p) - \tfrac{1}{2} H(q)

    with the distribution functions F and G of the lengths, in words, at least 0; and the shares p
    and q of the words, in nats, from 0 to log 2. Lower is better. Neither reaches 0 for samples of
    any size: the distance of real text to other real text is beside.

    Source: Lin (1991), https://doi.org/10.1109/18.61115; of the first, Vaserstein (1969).
    """

    title = "samples"

    def measure(self, material: Material) -> list[Number]:
        """Both, beside what another split of the real text has."""
        numbers = []
        for name, label, unit, distance in (
            ("length_distance", "distance of lengths", "words", length_distance),
            ("word_distance", "divergence of word frequencies", "nats", word_divergence),
        ):
            of_samples, sizes = distance(material.samples, material.real)
            of_real, real_sizes = distance(material.other_real, material.real)
            value, interval = material.bootstrap.statistic(of_samples, *sizes)
            numbers.append(
                Number(
                    name,
                    label,
                    value,
                    interval,
                    sizes[0],
                    "samples",
                    unit=unit,
                    better="lower",
                    real=of_real(*map(np.ones, real_sizes)),
                )
            )
        return numbers


def length_distance(one: Sentences, other: Sentences) -> Any:
    """The Wasserstein distance of the lengths, as a function of weights, and the two sizes."""
    lengths = [np.array([len(words) for words in each.words]) for each in (one, other)]
    longest = max(int(each.max(initial=0)) for each in lengths)

    def distance(*weights: Array) -> float:
        shares = [
            np.bincount(each, weight, minlength=longest + 1) / weight.sum()
            for each, weight in zip(lengths, weights, strict=True)
        ]
        return float(np.abs(np.cumsum(shares[0] - shares[1])).sum())

    return distance, (len(one), len(other))


def word_divergence(one: Sentences, other: Sentences) -> Any:
    """The Jensen-Shannon divergence of the words, as a function of weights, and the two sizes."""
    size = len(one)
    grams = NGrams([*one.words, *other.words], 1)

    def distance(*weights: Array) -> float:
        nothing = [np.zeros_like(weight) for weight in weights]
        p = grams.counts(np.concatenate([weights[0], nothing[1]]))
        q = grams.counts(np.concatenate([nothing[0], weights[1]]))
        p, q = p / p.sum(), q / q.sum()
        return _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2

    return distance, (size, len(other))


def _entropy(shares: Array) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
