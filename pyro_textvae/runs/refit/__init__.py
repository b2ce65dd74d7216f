# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A trained run with a prior that was fitted afterwards."""

from pyro_textvae.runs.refit.effect import Effect
from pyro_textvae.runs.refit.refit import Refit, refit

__all__ = ["Effect", "Refit", "refit"]
