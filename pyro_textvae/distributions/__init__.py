# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Distributions that Pyro lacks, one a file."""

from pyro_textvae.distributions.autoregressive_categorical import (
    AutoregressiveCategorical,
    sentence_mask,
)
from pyro_textvae.distributions.hyperspherical_uniform import HypersphericalUniform
from pyro_textvae.distributions.power_spherical import PowerSpherical

__all__ = ["AutoregressiveCategorical", "HypersphericalUniform", "PowerSpherical", "sentence_mask"]
