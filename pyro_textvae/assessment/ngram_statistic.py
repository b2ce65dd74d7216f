# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Numbers of all n-grams of the samples together, beside those of real text."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.ngrams import NGrams
from pyro_textvae.assessment.number import Number


class NGramStatistic(Metric):
    """One number for each n from 1 to 4; a subclass says what it is, and what it is called."""

    title = "samples"

    name: ClassVar[str]
    """Of the number in ``generation.json``, with braces for n."""

    label: ClassVar[str]
    """In tables, likewise."""

    unit: ClassVar[str] = ""
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    compared: ClassVar[int | None] = None
    """The n whose number is a column where runs are compared."""

    @abstractmethod
    def of(self, grams: NGrams, weights: np.ndarray) -> float:
        """The number, where sentence i counts ``weights[i]`` times."""

    def measure(self, material: Material) -> list[Number]:
        """Of 1-grams to 4-grams, beside that of as much real text."""
        samples, real = material.samples, material.real
        numbers = []
        for order in range(1, 5):
            grams, of_real = NGrams(samples.words, order), NGrams(real.words, order)
            if not len(grams):
                continue
            value, interval = material.bootstrap.statistic(
                lambda weights, grams=grams: self.of(grams, weights), len(samples)
            )
            label = self.label.format(order)
            numbers.append(
                Number(
                    self.name.format(order),
                    label,
                    value,
                    interval,
                    len(samples),
                    "samples",
                    unit=self.unit,
                    better="real",
                    real=self.of(of_real, np.ones(len(real.words))) if len(of_real) else None,
                    column=label if order == self.compared else "",
                    bounds=self.bounds,
                )
            )
        return numbers
