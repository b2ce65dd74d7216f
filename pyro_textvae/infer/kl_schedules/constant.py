# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The same weight of the KL term throughout."""

from __future__ import annotations

from pyro_textvae.infer.kl_schedule import KLSchedule


class ConstantSchedule(KLSchedule):
    """The same weight at every step.

    >>> ConstantSchedule(0.3)(1000)
    0.3

    :param end: the weight.
    """

    def __call__(self, step: int) -> float:
        """The weight at ``step``."""
        return self.end
