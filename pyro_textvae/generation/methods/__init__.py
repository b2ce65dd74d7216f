# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoding methods, one a file."""

from pyro_textvae.generation.methods.ancestral import Ancestral
from pyro_textvae.generation.methods.beam import Beam
from pyro_textvae.generation.methods.greedy import Greedy
from pyro_textvae.generation.methods.min_p import MinP
from pyro_textvae.generation.methods.minimum_bayes_risk import MinimumBayesRisk
from pyro_textvae.generation.methods.nucleus import Nucleus
from pyro_textvae.generation.methods.top_k import TopK
from pyro_textvae.generation.methods.typical import Typical

__all__ = [
    "Ancestral",
    "Beam",
    "Greedy",
    "MinP",
    "MinimumBayesRisk",
    "Nucleus",
    "TopK",
    "Typical",
]
