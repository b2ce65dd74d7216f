# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A grid of runs from one file: trained, evaluated, compared."""

from pyro_textvae.grid.definition import read_grid
from pyro_textvae.grid.run import run_grid

__all__ = ["read_grid", "run_grid"]
