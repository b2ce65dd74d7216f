# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where a parameter behind softplus must start, to come out at a given number."""

from __future__ import annotations

import math


def inverse_softplus(value: float) -> float:
    r"""The number whose softplus is ``value``.

    .. math::
        \log(e^v - 1) = v + \log(1 - e^{-v})

    >>> import torch
    >>> start = torch.tensor(inverse_softplus(2.5))
    >>> round(torch.nn.functional.softplus(start).item(), 4)
    2.5

    :param value: positive.
    :raises ValueError: for a number that softplus never is.
    """
    if not 0 < value < math.inf:
        raise ValueError(f"softplus is positive and finite, so it is never {value}")
    # The right-hand side overflows for no value.
    return value + math.log(-math.expm1(-value))
