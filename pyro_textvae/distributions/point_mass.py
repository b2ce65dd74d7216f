# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Distributions that are one point, and so have no density."""

from __future__ import annotations

from typing import Any

from pyro.distributions import Delta
from torch.distributions import Independent


def is_point_mass(fn: Any) -> bool:
    """Whether a distribution puts all its mass on one point.

    >>> import torch
    >>> is_point_mass(Delta(torch.zeros(3)).to_event(1))
    True
    """
    while isinstance(fn, Independent):
        fn = fn.base_dist
    return isinstance(fn, Delta)
