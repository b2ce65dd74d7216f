# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How far an estimate may be off by an error that is itself an estimate."""

from __future__ import annotations

from torch import Tensor

DEVIATE = 1.959963984540054
"""Of a normal distribution, 95 % of whose mass lies within so many standard deviations."""
_ONE_SIDED = 1.6448536269514722
_FEWEST_FREEDOM = 3.0


def student_deviate(freedom: float) -> float:
    """Standard errors within which 95 % of the mass of Student's t lies.

    >>> round(student_deviate(7), 3), round(student_deviate(1e9), 3)
    (2.365, 1.96)

    Source: Fisher and Cornish (1960), The percentile points of distributions having known
    cumulants, https://doi.org/10.1080/00401706.1960.10489895; right to 0.002 from three degrees.

    :param freedom: degrees of freedom of the standard error, at least 1.
    """
    z = DEVIATE
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def variance_ceiling(freedom: float) -> float:
    r"""How many times its estimate a variance is at most, at 95 %.

    .. math:: \nu / \chi^2_{\nu, 0.05}

    >>> round(variance_ceiling(7), 1), round(variance_ceiling(1e9), 3)
    (3.2, 1.0)

    Source: Wilson and Hilferty (1931), The distribution of chi-square,
    https://doi.org/10.1073/pnas.17.12.684; right to a twelfth from three degrees, and too high.

    :param freedom: degrees of freedom of the estimate, at least 3.
    """
    spread = 2 / (9 * max(freedom, _FEWEST_FREEDOM))
    return (1 - spread - _ONE_SIDED * spread**0.5) ** -3


def freedom_of_sum(errors: Tensor, freedom: Tensor) -> Tensor:
    r"""Degrees of freedom of the standard error of a sum of independent terms, along the first.

    .. math::
        \nu = \frac{\left(\sum_i s_i^2\right)^2}{\sum_i s_i^4 / \nu_i}

    Where all errors are zero, the least of the terms'.

    >>> import torch
    >>> freedom_of_sum(torch.ones(10), torch.full((10,), 7.0))
    tensor(70.0000)

    Source: Satterthwaite (1946), An approximate distribution of estimates of variance components,
    https://doi.org/10.2307/3002019.

    :param errors: standard error of each term.
    :param freedom: degrees of freedom of each of those.
    """
    # In units of the largest, so that no power of a small error is zero.
    squares = (errors / errors.amax(0)).nan_to_num(1.0).square()
    whole = squares.sum(0).square() / (squares.square() / freedom).sum(0)
    return whole.where(errors.amax(0) > 0, freedom.amin(0))
