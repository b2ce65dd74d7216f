# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Priors p(z), one a file; called with nothing, each returns a distribution."""

from pyro_textvae.priors.standard_normal import StandardNormal
from pyro_textvae.priors.uniform_sphere import UniformSphere

__all__ = ["StandardNormal", "UniformSphere"]
