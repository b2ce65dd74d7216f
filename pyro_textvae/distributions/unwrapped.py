# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What draws the values of a distribution that is wrapped."""

from __future__ import annotations

from typing import Any

from pyro.distributions import MaskedDistribution
from torch.distributions import Independent


def unwrapped(distribution: Any) -> Any:
    """The distribution inside of ``to_event`` and ``mask``, whose draws are the same.

    >>> import torch
    >>> import pyro.distributions as dist
    >>> unwrapped(dist.Normal(torch.zeros(3), 1.0).to_event(1).mask(False))
    Normal(loc: torch.Size([3]), scale: torch.Size([3]))
    """
    while isinstance(distribution, Independent | MaskedDistribution):
        distribution = distribution.base_dist
    return distribution
