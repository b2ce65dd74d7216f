# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Directions along no axis, and a distribution around one."""

import torch

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.distributions.sphere import unit_vector


def generic_direction(dim):
    """A unit vector along no axis."""
    return unit_vector(torch.sin(1.3 * torch.arange(1, dim + 1).double() + 0.4))


def power_spherical(dim, concentration, dtype=torch.float64):
    loc = unit_vector(generic_direction(dim).to(dtype))
    return PowerSpherical(loc, torch.tensor(concentration, dtype=dtype))


def across(loc):
    """A unit vector at right angles to ``loc``."""
    other = torch.zeros_like(loc)
    other[0] = 1.0
    return unit_vector(other - (other * loc).sum() * loc)
