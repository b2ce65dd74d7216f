# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoding methods, one a file."""

from pyro_textvae.generation.methods.ancestral import Ancestral
from pyro_textvae.generation.methods.greedy import Greedy

__all__ = ["Ancestral", "Greedy"]
