# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Expansion of the von Mises-Fisher normaliser for large concentrations or dimensions."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

from torch import Tensor

from pyro_textvae.distributions.power_sums import power_sums
from pyro_textvae.distributions.von_mises_fisher_series import LARGEST

_ORDERS = 16
_LARGE_ORDER = 8.0


class DebyeExpansion:
    r"""The normaliser and what follows from it, at concentrations of 30 and more.

    Debye's uniform expansion of the Bessel function I_v(k), v = d/2 - 1, with its logarithm taken
    order by order. With r = sqrt(k^2 + v^2), t = 1/r and q = v^2 t^2,

    .. math::
        \log I_v(k) = r - v \log \frac{r + v}{k} - \tfrac12 \log 2 \pi r
        + \sum_j t^j D_j(q).

    For one dimension the sum is a polynomial in t alone, so that its derivatives by log t are the
    same polynomial with its coefficients multiplied by their powers. The error of 16 orders is that
    of rounding wherever r is above 30.

    Source: DLMF, section 10.41, https://dlmf.nist.gov/10.41.

    :param concentration: k, of any shape, float64.
    :param dim: d, dimensions of the space around the sphere.
    """

    def __init__(self, concentration: Tensor, dim: int) -> None:
        self._concentration = concentration
        self._dim = dim
        self._order = 0.5 * dim - 1
        self._radius = (concentration.square() + self._order**2).sqrt()
        self._t = self._radius.reciprocal()

    def cumulant(self) -> Tensor:
        """log E[exp(k cosine)] under the uniform."""
        (total,) = self._sums(0)
        if self._order < _LARGE_ORDER:
            return self._radius + self._body(total)
        return self._concentration.square() / (self._radius + self._order) + self._body(total)

    def scaled_cumulant(self) -> Tensor:
        """The same less k."""
        (total,) = self._sums(0)
        short = self._order**2 / (self._radius + self._concentration)
        if self._order < _LARGE_ORDER:
            return short + self._body(total)
        return short - self._order + self._body(total)

    def mean_length(self) -> Tensor:
        """E[cosine]."""
        _, first = self._sums(1)
        leading = (self._radius + self._order).reciprocal()
        return self._concentration * (leading - self._t.square() * (0.5 + first))

    def mean_distance(self) -> Tensor:
        """1 - E[cosine], which keeps its digits where that is close to 1."""
        _, first = self._sums(1)
        leading = self._order**2 / (self._radius + self._concentration) + self._order
        correction = self._concentration * self._t.square() * (0.5 + first)
        return leading / (self._radius + self._order) + correction

    def cosine_variance(self) -> Tensor:
        """Var[cosine]."""
        _, first, second = self._sums(2)
        square = self._t.square()
        cosine = self._concentration.square() * square
        return (
            self._order / (self._radius * (self._radius + self._order))
            + (cosine - self._order**2 * square) * square / 2
            + (2 * cosine * first + cosine * second - first) * square
        )

    def divergence(self) -> Tensor:
        """KL from the uniform."""
        total, first = self._sums(1)
        share = (self._concentration * self._t).square() * (0.5 + first)
        if self._order < _LARGE_ORDER:
            return -self._order - share - self._body(total)
        return -share - self._body(total)

    def _body(self, total: Tensor) -> Tensor:
        """What is left of the cumulant without its leading term."""
        if self._order < _LARGE_ORDER:
            constant = math.lgamma(self._order + 1) - 0.5 * math.log(2 * math.pi)
            power = self._order * ((self._radius + self._order) / 2).log()
            return total - power - 0.5 * self._radius.log() + constant
        # The gamma function by Stirling's series, which is the expansion at k = 0, so that large
        # numbers of either leave before they are computed.
        excess = self._concentration.square() / (self._radius + self._order) / self._order
        power = self._order * (excess / 2).log1p()
        return (total - _sum_at_zero(self._dim)) - power - 0.5 * excess.log1p()

    def _sums(self, derivatives: int) -> list[Tensor]:
        """The sum over j, and its derivatives by log t."""
        sums = power_sums(_coefficients(self._dim), self._t, derivatives)
        return [self._t * derivative for derivative in sums]


@cache
def _coefficients(dim: int) -> tuple[float, ...]:
    """Of t, t^2, ... in the sum over j, as many as count at the smallest concentration."""
    order = Fraction(dim, 2) - 1
    exact = [Fraction(0)] * (3 * _ORDERS + 1)
    for j, poly in enumerate(_logarithm_of_debye()[1:], 1):
        for i, coefficient in enumerate(poly):
            exact[j + 2 * i] += coefficient * order ** (2 * i)
    coefficients = [float(value) for value in exact[1:]]
    largest = 1 / math.hypot(LARGEST, float(order))
    # The second derivative weighs a term with the square of its power.
    while abs(coefficients[-1]) * len(coefficients) ** 2 * largest ** len(coefficients) < 1e-19:
        coefficients.pop()
    return tuple(coefficients)


@cache
def _sum_at_zero(dim: int) -> float:
    """The sum at k = 0, where t = 1/v and q = 1."""
    order = Fraction(dim, 2) - 1
    return float(sum(sum(poly) / order**j for j, poly in enumerate(_logarithm_of_debye()) if j))


@cache
def _logarithm_of_debye() -> list[list[Fraction]]:
    """D_j for each j (D_0 unused): coefficients of 1, q, q^2, ..."""
    polynomials = _debye()
    logarithm: list[list[Fraction]] = [[Fraction(0)]]
    for j in range(1, _ORDERS + 1):
        result = [j * c for c in polynomials[j]]
        for i in range(1, j):
            for a, left in enumerate(logarithm[i]):
                for b, right in enumerate(polynomials[j - i]):
                    result[a + b] -= i * left * right
        logarithm.append([c / j for c in result])
    return logarithm


def _debye() -> list[list[Fraction]]:
    """U_j(p) / p^j for each j: coefficients of 1, p^2, p^4, ..."""
    polynomials = [[Fraction(1)]]
    for j in range(_ORDERS):
        following = [Fraction(0)] * (j + 2)
        # U_{j+1} = p^2 (1 - p^2) U_j' / 2 + integral from 0 to p of (1 - 5 s^2) U_j(s) ds / 8.
        for i, c in enumerate(polynomials[j]):
            power = j + 2 * i
            following[i] += c * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
            following[i + 1] -= c * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
        polynomials.append(following)
    return polynomials
