# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tables of a run."""

from pyro_textvae.report.comparison_table import comparison_table
from pyro_textvae.report.grid_table import grid_csv, grid_table
from pyro_textvae.report.tables import evaluation_table

__all__ = ["comparison_table", "evaluation_table", "grid_csv", "grid_table"]
