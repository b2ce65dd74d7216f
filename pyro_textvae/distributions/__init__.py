# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Distributions that Pyro lacks, one a file."""

from pyro_textvae.distributions.autoregressive_categorical import (
    AutoregressiveCategorical,
    sentence_mask,
)

__all__ = ["AutoregressiveCategorical", "sentence_mask"]
