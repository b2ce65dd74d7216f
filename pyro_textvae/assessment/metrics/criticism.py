# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the model could have written the text: posterior predictive p-values."""

from __future__ import annotations

import math

import numpy as np

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import Number
from pyro_textvae.assessment.statistics import Statistic, load_statistic
from pyro_textvae.errors import UserError, in_one_line

_NORMAL = 1.96


class Criticism(Metric):
    r"""The share of sets of samples whose statistic is at least that of the text; in [0, 1].

    .. math:: p = \frac{1}{R} \sum_{r=1}^R \left[T(x^{(r)}) > T(x)\right] + \tfrac{1}{2}
        \left[T(x^{(r)}) = T(x)\right]

    Near 0 or near 1 says that the model writes with less or with more of it than the text has; 0.5
    is best. R sets are as large as the text's. The weights are those of the run: the spread is that
    of the draws alone, and a p-value of a model that has seen the text is no test of level.
    The interval is Wilson's, of a share of R; beside stands what the statistic is in both.

    Source: Rubin (1984), https://doi.org/10.1214/aos/1176346785; Gelman et al. (1996), Posterior
    predictive assessment of model fitness via realized discrepancies.
    """

    title = "model criticism"

    def measure(self, material: Material) -> list[Number]:
        """A p-value of each statistic of the settings."""
        statistics = {spec: load_statistic(spec) for spec in material.config.statistics}
        numbers = []
        for spec, function in statistics.items():
            of_text = _value(spec, function, material.replicated.words)
            of_sets = np.array([_value(spec, function, each.words) for each in material.replicates])
            value = float(np.mean((of_sets > of_text) + 0.5 * (of_sets == of_text)))
            low, high = np.quantile(of_sets, (0.025, 0.975))
            name = spec.rpartition(":")[2]
            numbers.append(
                Number(
                    f"p_value_{name}",
                    f"p-value of {name.replace('_', ' ')}",
                    value,
                    wilson_interval(value, len(of_sets)),
                    len(material.replicated),
                    "replicates",
                    digits=2,
                    better="middle",
                    note=f"{of_text:.4g} in the text, {of_sets.mean():.4g} in samples, 95 % of "
                    f"sets from {low:.4g} to {high:.4g}",
                )
            )
        return numbers


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """A 95 % interval of a share of so many draws.

    Source: Wilson (1927), https://doi.org/10.2307/2276774.

    >>> low, high = wilson_interval(0.0, 50)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.071)
    """
    square = _NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = _NORMAL * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def _value(spec: str, function: Statistic, sentences: tuple[tuple[str, ...], ...]) -> float:
    try:
        value = float(function([list(words) for words in sentences]))
    except Exception as error:
        raise UserError(f"the statistic {spec} fails: {in_one_line(error)}") from error
    if not math.isfinite(value):
        raise UserError(f"the statistic {spec} must return a finite number, got {value}")
    return value
