# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""KL schedules, one a file: how the weight of the KL term moves over the training steps."""

from pyro_textvae.infer.kl_schedules.constant import ConstantSchedule
from pyro_textvae.infer.kl_schedules.cyclical import CyclicalSchedule
from pyro_textvae.infer.kl_schedules.linear import LinearSchedule
from pyro_textvae.infer.kl_schedules.logistic import LogisticSchedule
from pyro_textvae.infer.kl_schedules.zero_then_linear import ZeroThenLinearSchedule

__all__ = [
    "ConstantSchedule",
    "CyclicalSchedule",
    "LinearSchedule",
    "LogisticSchedule",
    "ZeroThenLinearSchedule",
]
