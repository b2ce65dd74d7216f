# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the weight of the KL term moves over the training steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod


class KLSchedule(ABC):
    """Maps a training step, counted from 0, to the weight of the KL term.

    :param end: the weight that the schedule arrives at.
    :raises ValueError: for a negative or non-finite weight.
    """

    def __init__(self, end: float = 1.0) -> None:
        self.end = _checked_weight("KL weight", end)

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The weight at ``step``."""


class ConstantSchedule(KLSchedule):
    """The same weight at every step."""

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        return self.end


class LinearSchedule(KLSchedule):
    """From ``start`` to ``end`` in a straight line over ``num_steps``, then ``end``."""

    def __init__(self, num_steps: int, start: float = 0.0, end: float = 1.0) -> None:
        super().__init__(end)
        self.num_steps = _checked_steps(num_steps)
        self.start = _checked_weight("start of the KL weight", start)

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        return self.start + (self.end - self.start) * min(step / self.num_steps, 1.0)


class ZeroThenLinearSchedule(KLSchedule):
    """Zero for ``num_zero_steps``, then a straight line up to ``end`` at ``num_steps``.

    The first part is an autoencoder's, so that z is of use before it has a price.
    """

    def __init__(self, num_steps: int, num_zero_steps: int, end: float = 1.0) -> None:
        super().__init__(end)
        self.num_steps = _checked_steps(num_steps)
        if not 0 <= num_zero_steps < num_steps:
            raise ValueError(
                f"num_zero_steps must lie in [0, num_steps = {num_steps}), got {num_zero_steps}"
            )
        self.num_zero_steps = num_zero_steps

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        since = (step - self.num_zero_steps) / (self.num_steps - self.num_zero_steps)
        return self.end * min(max(since, 0.0), 1.0)


class LogisticSchedule(KLSchedule):
    """A logistic curve through ``end / 2`` at half of ``num_steps``; 0.99 ``end`` at ``num_steps``.

    Source: Bowman et al. (2016), figure 2.
    """

    def __init__(self, num_steps: int, end: float = 1.0) -> None:
        super().__init__(end)
        self.num_steps = _checked_steps(num_steps)

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        slope = math.log(99.0) / (0.5 * self.num_steps)
        return self.end / (1.0 + math.exp(-min(slope * (step - 0.5 * self.num_steps), 700.0)))


class CyclicalSchedule(KLSchedule):
    """Cycles of a ramp from ``start`` to ``end`` and a plateau; ``end`` after ``num_steps``.

    :param ramp: the share of each cycle spent going up.

    Source: Fu et al. (2019), Cyclical Annealing Schedule, equation 5.
    """

    def __init__(
        self,
        num_steps: int,
        num_cycles: int = 4,
        start: float = 0.0,
        end: float = 1.0,
        ramp: float = 0.5,
    ) -> None:
        super().__init__(end)
        if num_cycles < 1:
            raise ValueError(f"number of KL cycles must be at least 1, got {num_cycles}")
        if not 0 < ramp <= 1:
            raise ValueError(f"ramp must lie in (0, 1], got {ramp}")
        self.num_steps = _checked_steps(num_steps)
        self.num_cycles = num_cycles
        self.start = _checked_weight("start of the KL weight", start)
        self.ramp = ramp

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        if step >= self.num_steps:
            return self.end
        position = step * self.num_cycles / self.num_steps % 1.0
        return self.start + (self.end - self.start) * min(position / self.ramp, 1.0)


def _checked_weight(name: str, weight: float) -> float:
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {weight}")
    return weight


def _checked_steps(num_steps: int) -> int:
    if num_steps < 1:
        raise ValueError(f"number of KL schedule steps must be at least 1, got {num_steps}")
    return num_steps
