# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How often samples say again what they have just said."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.ngrams import NGrams
from pyro_textvae.assessment.number import SHARE, Number


class Repetition(Metric):
    r"""The share of a sentence's n-grams that stood in it before, n = 1 to 4, in [0, 1).

    .. math:: \frac{1}{N} \sum_n \left(1 - \frac{\#\{\text{distinct n-grams of } x_n\}}{\#\{
        \text{n-grams of } x_n\}}\right)

    The mean over the sentences that have an n-gram. Real text repeats articles and names, so that
    as much as real text is right, and less is no better.

    Source: Welleck et al. (2020), seq-rep-n, https://arxiv.org/abs/1908.04319.
    """

    title = "samples"

    def measure(self, material: Material) -> list[Number]:
        """Of 1-grams to 4-grams, beside that of as much real text."""
        numbers = []
        for order in range(1, 5):
            shares = _shares(material.samples.words, order)
            real = _shares(material.real.words, order)
            if not len(shares):
                continue
            value, interval = material.bootstrap.mean(shares)
            numbers.append(
                Number(
                    f"repeated_{order}",
                    f"repeated {order}-grams",
                    value,
                    interval,
                    len(shares),
                    "samples",
                    better="real",
                    real=float(real.mean()) if len(real) else None,
                    bounds=SHARE,
                )
            )
        return numbers


def _shares(sentences: tuple[tuple[str, ...], ...], order: int) -> np.ndarray:
    shares = NGrams(sentences, order).repeated()
    return shares[~np.isnan(shares)]
