# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tables of a run."""

from pyro_textvae.report.tables import evaluation_table

__all__ = ["evaluation_table"]
