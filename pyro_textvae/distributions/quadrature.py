# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Nodes and weights of Gaussian quadrature."""

from __future__ import annotations

import numpy
from torch import Tensor


def gauss_legendre(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes in [0, 1] and weights that sum to 1, of the precision and device of ``like``.

    Both ``(count, 1, ..., 1)``, to broadcast with ``like`` behind their first dimension.

    >>> import torch
    >>> nodes, weights = gauss_legendre(3, torch.zeros(5))
    >>> nodes.shape, round((weights * nodes**2).sum().item(), 4)
    (torch.Size([3, 1]), 0.3333)
    """
    nodes, weights = numpy.polynomial.legendre.leggauss(count)
    shape = (count,) + (1,) * like.dim()
    return like.new_tensor((1 + nodes) / 2).reshape(shape), like.new_tensor(weights / 2).reshape(
        shape
    )
