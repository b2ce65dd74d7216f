# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Families of posteriors that a better proposal can be found in, one a file."""

from pyro_textvae.evaluation.families.family import Family
from pyro_textvae.evaluation.families.gaussian import GaussianFamily
from pyro_textvae.evaluation.families.gaussian_mixture import GaussianMixtureFamily
from pyro_textvae.evaluation.families.spherical import SphericalFamily

__all__ = ["Family", "GaussianFamily", "GaussianMixtureFamily", "SphericalFamily"]
