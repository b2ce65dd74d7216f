# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The Monte Carlo error of a mean over sentences."""

from __future__ import annotations

import torch
from torch import Tensor


def error_of_mean(errors: Tensor, keys: Tensor) -> float:
    """Standard error of a mean over sentences; those of equal ``keys`` share their draws."""
    _, group = keys.unique(return_inverse=True)
    sums = torch.zeros(int(group.max()) + 1, dtype=errors.dtype).index_add(0, group, errors)
    return sums.norm().item() / len(errors)
