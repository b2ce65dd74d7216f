# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The units that results are reported in."""

from __future__ import annotations

import math

UNITS = "nats per sentence, summed over its tokens; <eos> counted, <bos> and <pad> not"
"""What every result file says of its numbers."""


def perplexity(total_nll: float, count: int) -> float:
    """exp(nats / count); with count = words + one ``<eos>`` a sentence, the usual perplexity."""
    exponent = total_nll / count
    return math.inf if exponent >= 700 else math.exp(exponent)


def bits(total_nll: float, count: int) -> float:
    """Bits for each of ``count`` units, from a total in nats."""
    return total_nll / count / math.log(2.0)
