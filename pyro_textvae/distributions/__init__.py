# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Distributions that Pyro lacks, one a file."""

import pyro_textvae.distributions.gaussian_divergence  # noqa: F401  registers a KL
from pyro_textvae.distributions.autoregressive_categorical import (
    AutoregressiveCategorical,
    sentence_mask,
)
from pyro_textvae.distributions.context import Context, Memory
from pyro_textvae.distributions.hyperspherical_uniform import HypersphericalUniform
from pyro_textvae.distributions.power_spherical import PowerSpherical
from pyro_textvae.distributions.scorable_rows import scorable_rows
from pyro_textvae.distributions.select_rows import select_rows
from pyro_textvae.distributions.von_mises_fisher import VonMisesFisher

__all__ = [
    "AutoregressiveCategorical",
    "Context",
    "HypersphericalUniform",
    "Memory",
    "PowerSpherical",
    "VonMisesFisher",
    "scorable_rows",
    "select_rows",
    "sentence_mask",
]
