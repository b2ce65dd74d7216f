# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Encoders as Pyro guides, one a file."""

import os

# Debuggers match breakpoints by real path, and this folder is reached through a link.
__path__ = [os.path.realpath(path) for path in __path__]

from pyro_textvae.guides.empty import EmptyGuide
from pyro_textvae.guides.gaussian import GaussianGuide
from pyro_textvae.guides.power_spherical import PowerSphericalGuide

__all__ = ["EmptyGuide", "GaussianGuide", "PowerSphericalGuide"]
