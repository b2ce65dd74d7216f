# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A logistic curve."""

from __future__ import annotations

import math

from pyro_textvae.infer.kl_schedule import KLSchedule, checked_steps


class LogisticSchedule(KLSchedule):
    r"""A logistic curve: ``end / 2`` at half of ``num_steps``, 0.99 ``end`` at ``num_steps``.

    .. math::
        \beta_t = \text{end} / (1 + 99^{1 - 2 t / \text{num\_steps}})

    Source: Bowman et al. (2016), figure 2, https://arxiv.org/abs/1511.06349.

    >>> schedule = LogisticSchedule(num_steps=100)
    >>> [round(schedule(step), 2) for step in (0, 50, 100)]
    [0.01, 0.5, 0.99]
    """

    def __init__(self, num_steps: int, end: float = 1.0) -> None:
        super().__init__(end)
        self.num_steps = checked_steps(num_steps)

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        slope = math.log(99.0) / (0.5 * self.num_steps)
        return self.end / (1.0 + math.exp(-min(slope * (step - 0.5 * self.num_steps), 700.0)))
