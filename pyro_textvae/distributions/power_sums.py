# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Polynomials with fixed coefficients, together with their derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def power_sums(coefficients: Sequence[float], x: Tensor, derivatives: int) -> tuple[Tensor, ...]:
    """Sums of n^j c_n x^(n - 1) over n from 1, for each j from 0 to ``derivatives``.

    Times x they are a polynomial without a constant term, and its derivatives by log x.

    >>> value, slope = power_sums([1.0, 1.0], torch.tensor(3.0), derivatives=1)  # x + x^2
    >>> value * 3, slope * 3
    (tensor(12.), tensor(21.))

    :param coefficients: c_1, c_2, ...
    :returns: tensors of the shape of ``x``; elementwise, by Horner's rule for all of them at once.
    """
    weighted = [[c * n**j for j in range(derivatives + 1)] for n, c in enumerate(coefficients, 1)]
    steps = x.new_tensor(weighted).reshape(len(weighted), derivatives + 1, *[1] * x.dim()).unbind()
    total = steps[-1].expand(derivatives + 1, *x.shape)
    for step in reversed(steps[:-1]):
        total = torch.addcmul(step, total, x)
    return total.unbind()
