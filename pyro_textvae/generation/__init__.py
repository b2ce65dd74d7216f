# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences out of a model: samples, reconstructions, walks."""

from pyro_textvae.generation import methods
from pyro_textvae.generation.decoding import (
    encode,
    interpolate,
    reconstruct,
)
from pyro_textvae.generation.ex_post_density import ExPostDensity, fit_ex_post_density
from pyro_textvae.generation.method import DecodingMethod, build_method
from pyro_textvae.generation.methods import *  # noqa: F403
from pyro_textvae.generation.posteriors import posterior_point
from pyro_textvae.generation.sampling import sample, sample_in_parts

# A new method is exported by its line in the folder below.
__all__ = [
    *methods.__all__,
    "DecodingMethod",
    "ExPostDensity",
    "build_method",
    "encode",
    "fit_ex_post_density",
    "interpolate",
    "posterior_point",
    "reconstruct",
    "sample",
    "sample_in_parts",
]
