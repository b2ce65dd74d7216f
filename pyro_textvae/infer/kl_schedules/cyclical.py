# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Ramps that start again."""

from __future__ import annotations

from pyro_textvae.infer.kl_schedule import KLSchedule, checked_steps, checked_weight


class CyclicalSchedule(KLSchedule):
    """Cycles of a ramp from ``start`` to ``end`` and a plateau; ``end`` after ``num_steps``.

    Source: Fu et al. (2019), equation 5, https://arxiv.org/abs/1903.10145.

    >>> schedule = CyclicalSchedule(num_steps=80, num_cycles=2)
    >>> [schedule(step) for step in (0, 10, 20, 39, 40, 50)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]

    :param ramp: the share of each cycle spent going up.
    :raises ValueError: for fewer than one cycle, or a share outside ``(0, 1]``.
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
        self.num_steps = checked_steps(num_steps)
        self.num_cycles = num_cycles
        self.start = checked_weight("start of the KL weight", start)
        self.ramp = ramp

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        if step >= self.num_steps:
            return self.end
        position = step * self.num_cycles / self.num_steps % 1.0
        return self.start + (self.end - self.start) * min(position / self.ramp, 1.0)
