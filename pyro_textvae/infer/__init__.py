# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Objectives computed sentence by sentence, and the weight of their KL term."""

from pyro_textvae.infer.kl_schedules import (
    ConstantSchedule,
    CyclicalSchedule,
    KLSchedule,
    LinearSchedule,
    LogisticSchedule,
)
from pyro_textvae.infer.objectives import BetaELBO
from pyro_textvae.infer.per_datum import PerDatumELBO, PerDatumTerms, log_weights

__all__ = [
    "BetaELBO",
    "ConstantSchedule",
    "CyclicalSchedule",
    "KLSchedule",
    "LinearSchedule",
    "LogisticSchedule",
    "PerDatumELBO",
    "PerDatumTerms",
    "log_weights",
]
