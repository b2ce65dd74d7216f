# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""When the draws of a sentence are called enough."""

from __future__ import annotations

from torch import Tensor

HEAVY_TAIL = 0.7
"""Above this k-hat the error of an estimate is not known from its weights."""
LARGEST_ERROR = 0.2
"""Standard error in nats above which the draws of a sentence are not enough."""
MOST_ERRORS = 4.0
"""Standard errors within which two halves of the draws agree."""


def is_enough(khat: Tensor, standard_error: Tensor) -> Tensor:
    """Whether weights of this tail and this error say of themselves that they are enough."""
    return ~(khat > HEAVY_TAIL) & (standard_error <= LARGEST_ERROR)
