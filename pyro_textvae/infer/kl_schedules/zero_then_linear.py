# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Zero at first, then a straight line."""

from __future__ import annotations

from pyro_textvae.infer.kl_schedule import KLSchedule, checked_steps


class ZeroThenLinearSchedule(KLSchedule):
    """Zero for ``num_zero_steps``, then a straight line up to ``end`` at ``num_steps``.

    The first part is an autoencoder's, so that z is of use before it has a price.

    >>> schedule = ZeroThenLinearSchedule(num_steps=40, num_zero_steps=20)
    >>> [schedule(step) for step in (0, 20, 30, 40)]
    [0.0, 0.0, 0.5, 1.0]

    :raises ValueError: for ``num_zero_steps`` outside ``[0, num_steps)``.
    """

    def __init__(self, num_steps: int, num_zero_steps: int, end: float = 1.0) -> None:
        super().__init__(end)
        self.num_steps = checked_steps(num_steps)
        if not 0 <= num_zero_steps < num_steps:
            raise ValueError(
                f"num_zero_steps must lie in [0, num_steps = {num_steps}), got {num_zero_steps}"
            )
        self.num_zero_steps = num_zero_steps

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        since = (step - self.num_zero_steps) / (self.num_steps - self.num_zero_steps)
        return self.end * min(max(since, 0.0), 1.0)
