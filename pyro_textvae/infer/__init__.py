# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Objectives computed sentence by sentence, and the weight of their KL term."""

from pyro_textvae.infer.constraint import KLConstraint
from pyro_textvae.infer.constraints import (
    FreeBitsPerDimension,
    FreeBitsPerDimensionOfBatchMean,
    FreeBitsPerSite,
    FreeBitsPerSiteOfBatchMean,
    MaximumMeanDiscrepancy,
    MinimumDesiredRate,
    MutualInformation,
    TargetKL,
)
from pyro_textvae.infer.kl_schedules import (
    ConstantSchedule,
    CyclicalSchedule,
    KLSchedule,
    LinearSchedule,
    LogisticSchedule,
    ZeroThenLinearSchedule,
)
from pyro_textvae.infer.objectives import (
    CIWAE,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    VIMCO,
    BetaELBO,
    DReG,
    RenyiIWAE,
    SemiAmortisedELBO,
    ThermodynamicELBO,
    WakeSleep,
)
from pyro_textvae.infer.per_datum import PerDatumELBO, log_weights
from pyro_textvae.infer.terms import LatentSite, PerDatumTerms
from pyro_textvae.infer.traces import Draws

__all__ = [
    "BetaELBO",
    "CIWAE",
    "ConstantSchedule",
    "CyclicalSchedule",
    "DReG",
    "Draws",
    "FreeBitsPerDimension",
    "FreeBitsPerDimensionOfBatchMean",
    "FreeBitsPerSite",
    "FreeBitsPerSiteOfBatchMean",
    "IWAE",
    "KLConstraint",
    "KLSchedule",
    "LatentSite",
    "LinearSchedule",
    "LogisticSchedule",
    "MIWAE",
    "MaximumMeanDiscrepancy",
    "MinimumDesiredRate",
    "MutualInformation",
    "PIWAE",
    "PerDatumELBO",
    "PerDatumTerms",
    "RenyiIWAE",
    "STL",
    "SemiAmortisedELBO",
    "TargetKL",
    "ThermodynamicELBO",
    "VIMCO",
    "WakeSleep",
    "ZeroThenLinearSchedule",
    "log_weights",
]
