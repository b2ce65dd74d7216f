# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""KL constraints, one a file; each joins any objective of this package."""

from pyro_textvae.infer.constraints.free_bits import FreeBits
from pyro_textvae.infer.constraints.maximum_mean_discrepancy import MaximumMeanDiscrepancy
from pyro_textvae.infer.constraints.minimum_desired_rate import MinimumDesiredRate
from pyro_textvae.infer.constraints.mutual_information import MutualInformation
from pyro_textvae.infer.constraints.target_kl import TargetKL

__all__ = [
    "FreeBits",
    "MaximumMeanDiscrepancy",
    "MinimumDesiredRate",
    "MutualInformation",
    "TargetKL",
]
