# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Power series of the von Mises-Fisher normaliser, for small concentrations."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from pyro_textvae.distributions.power_sums import power_sums

LARGEST = 30.0
"""The concentration up to which the series keeps its digits."""


class PowerSeries:
    r"""The normaliser and what follows from it, at concentrations in [0, 30].

    The mean of exp(k cosine) under the uniform is a power series in x = k^2 / 4,

    .. math::
        {}_0F_1(; d/2; x) = 1 + \sum_n T_n, \qquad T_n = \frac{x^n}{n! \, (d/2)_n},

    whose terms are all positive: nothing cancels, and 0 is no special case.

    :param concentration: k, of any shape, float64.
    :param dim: d, dimensions of the space around the sphere.
    """

    def __init__(self, concentration: Tensor, dim: int) -> None:
        self._concentration = concentration
        self._dim = dim

    def cumulant(self) -> Tensor:
        """log E[exp(k cosine)] under the uniform."""
        (excess,) = self._sums(0)
        return excess.log1p()

    def scaled_cumulant(self) -> Tensor:
        """The same less k."""
        return self.cumulant() - self._concentration

    def mean_length(self) -> Tensor:
        """E[cosine]."""
        excess, first = self._sums(1)
        return self._length(excess, first)

    def mean_distance(self) -> Tensor:
        """1 - E[cosine]."""
        return 1 - self.mean_length()

    def cosine_variance(self) -> Tensor:
        """Var[cosine]."""
        excess, first, second = self._sums(2)
        # The sum of 2 n (2 n - 1) T_n / (4 x), which is E[cosine^2].
        square = (second - first / 2) / (1 + excess)
        return square - self._length(excess, first).square()

    def divergence(self) -> Tensor:
        """KL from the uniform; both terms are of its own size."""
        excess, first = self._sums(1)
        return self._concentration * self._length(excess, first) - excess.log1p()

    def _sums(self, derivatives: int) -> list[Tensor]:
        """The sum of T_n, and those of n T_n / x and n^2 T_n / x."""
        x = self._concentration.square() / 4
        sums = power_sums(_coefficients(self._dim), x, derivatives)
        return [x * sums[0], *sums[1:]]

    def _length(self, excess: Tensor, first: Tensor) -> Tensor:
        return self._concentration / 2 * first / (1 + excess)


@cache
def _coefficients(dim: int) -> tuple[float, ...]:
    """T_n / x^n from n = 1, as many as count at the largest concentration."""
    coefficients: list[float] = []
    x = LARGEST**2 / 4
    coefficient = power = total = 1.0
    n = 0
    # Its second derivative weighs a term with 4 n^2.
    while 4 * n**2 * coefficient * power > 1e-18 * total or n < 2:
        n += 1
        coefficient /= n * (0.5 * dim + n - 1)
        power *= x
        total += coefficient * power
        coefficients.append(coefficient)
    return tuple(coefficients)
