# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a schedule of the weight of the KL term is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod


class KLSchedule(ABC):
    """Maps a training step, counted from 0, to the weight of the KL term.

    A subclass says what the weight is at each step. On the command line its ``__init__`` gets what
    it names of ``num_steps`` (from ``--kl-steps`` or ``--kl-epochs``), ``start`` (``--kl-start``),
    ``end`` (``--kl-weight``), ``num_zero_steps`` (``--kl-zero``) and ``num_cycles``
    (``--kl-cycles``); any further name is taken from ``--options``.

    :param end: the weight that the schedule arrives at.
    :raises ValueError: for a negative or non-finite weight.

    >>> class Halving(KLSchedule):
    ...     def __call__(self, step):
    ...         return self.end * (1 - 0.5**step)
    >>> [Halving(end=0.8)(step) for step in range(4)]
    [0.0, 0.4, 0.6000000000000001, 0.7000000000000001]
    """

    def __init__(self, end: float = 1.0) -> None:
        self.end = checked_weight("KL weight", end)

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The weight at ``step``."""


def checked_weight(name: str, weight: float) -> float:
    """A weight of the KL term: finite and not negative.

    :raises ValueError: with the name and the value, for any other.

    >>> checked_weight("KL weight", -1.0)
    Traceback (most recent call last):
        ...
    ValueError: KL weight must be finite and not negative, got -1.0
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {weight}")
    return weight


def checked_steps(num_steps: int) -> int:
    """The number of training steps that a schedule takes: at least one.

    :raises ValueError: with the number, for any other.
    """
    if num_steps < 1:
        raise ValueError(f"number of KL schedule steps must be at least 1, got {num_steps}")
    return num_steps
