# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The contract of a model and a guide, as checks for any program."""

from pyro_textvae.testing.checks import check_guide, check_model, check_pair
from pyro_textvae.testing.demands import ContractError

__all__ = ["ContractError", "check_guide", "check_model", "check_pair"]
