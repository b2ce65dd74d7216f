# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: every file in it, written whole or not at all."""

from pyro_textvae.run_folder.folder import RunFolder, paths_of_runs

__all__ = ["RunFolder", "paths_of_runs"]
