# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A straight line, then a constant."""

from __future__ import annotations

from pyro_textvae.infer.kl_schedule import KLSchedule, checked_steps, checked_weight


class LinearSchedule(KLSchedule):
    r"""From ``start`` to ``end`` in a straight line over ``num_steps``, then ``end``.

    .. math::
        \beta_t = \text{start} + (\text{end} - \text{start}) \min(t / \text{num\_steps}, 1)

    >>> schedule = LinearSchedule(num_steps=10, start=0.0, end=1.0)
    >>> [schedule(step) for step in (0, 5, 10, 20)]
    [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(self, num_steps: int, start: float = 0.0, end: float = 1.0) -> None:
        super().__init__(end)
        self.num_steps = checked_steps(num_steps)
        self.start = checked_weight("start of the KL weight", start)

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        return self.start + (self.end - self.start) * min(step / self.num_steps, 1.0)
