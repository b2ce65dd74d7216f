# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How far samples are from real text in the states of a language model."""

from __future__ import annotations

import numpy as np

from pyro_textvae.assessment.bootstrap import Array
from pyro_textvae.assessment.judge import describe
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import Number

_RESAMPLES = 200


class Frechet(Metric):
    r"""The distance of two Gaussians fitted to features of samples and of real text; at least 0.

    .. math::
        \|\mu_1 - \mu_2\|^2 + \operatorname{tr}\left(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1
        \Sigma_2)^{1/2}\right)

    The feature of a sentence is the mean of the judge's states over its words. Lower is better. The
    distance is too large for few sentences, and in units of the judge's own, so that two numbers
    are comparable by one judge and at one number of sentences alone. That of real text to other
    real text is beside.

    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> round(frechet_distance(x, x + np.array([3.0, 4.0])), 6)
    25.0

    Source: Heusel et al. (2017), https://arxiv.org/abs/1706.08500; of text: Semeniuta et al.
    (2018), https://arxiv.org/abs/1806.04936.
    """

    title = "language models"
    fewest = 100

    def measure(self, material: Material) -> list[Number]:
        """Of samples to text, beside that of other text."""
        judge = material.judge
        real = judge.features(material.real)
        samples = judge.features(material.samples)

        def distance(of_samples: Array, of_real: Array) -> float:
            return frechet_distance(samples, real, of_samples, of_real)

        value, interval = material.bootstrap.statistic(
            distance, len(samples), len(real), most=_RESAMPLES
        )
        ceiling = frechet_distance(judge.features(material.other_real), real)
        return [
            Number(
                "frechet_distance",
                "Fréchet distance",
                value,
                interval,
                len(samples),
                "samples",
                digits=4,
                better="lower",
                real=ceiling,
                note=f"judge: {describe(judge.made)}",
                column="Fréchet",
            )
        ]


def frechet_distance(
    one: Array, other: Array, of_one: Array | None = None, of_other: Array | None = None
) -> float:
    """The distance between Gaussians fitted to rows of features, ``(N, D)`` and ``(M, D)``.

    :param of_one, of_other: how often each row counts; by default once.
    """
    (mean, covariance), (other_mean, other_covariance) = (
        _moments(one, of_one),
        _moments(other, of_other),
    )
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ other_covariance @ root).clip(0)
    traces = np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(inner).sum()
    return float(((mean - other_mean) ** 2).sum() + traces)


def _moments(rows: Array, weights: Array | None) -> tuple[Array, Array]:
    return rows.mean(0) if weights is None else np.average(rows, 0, weights), np.cov(
        rows, rowvar=False, fweights=weights
    )
