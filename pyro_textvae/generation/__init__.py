# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences out of a model: samples, reconstructions, walks."""

from pyro_textvae.generation import methods
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.decoding import (
    encode,
    generate_interpolation,
    generate_reconstructions,
    interpolate,
    reconstruct,
)
from pyro_textvae.generation.ex_post_density import ExPostDensity, fit_ex_post_density
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.method import DecodingMethod, build_method
from pyro_textvae.generation.methods import *  # noqa: F403
from pyro_textvae.generation.posteriors import posterior_point
from pyro_textvae.generation.rows import repeated_condition
from pyro_textvae.generation.sampling import (
    generate,
    generate_in_parts,
    generate_rows,
    sample,
    sample_in_parts,
)
from pyro_textvae.generation.stepwise import StepwiseText
from pyro_textvae.generation.summaries import generate_summaries

# A new method is exported by its line in the folder below.
__all__ = [
    *methods.__all__,
    "Constraints",
    "DecodingMethod",
    "ExPostDensity",
    "Generated",
    "StepwiseText",
    "build_method",
    "encode",
    "fit_ex_post_density",
    "generate",
    "generate_in_parts",
    "generate_interpolation",
    "generate_reconstructions",
    "generate_rows",
    "generate_summaries",
    "interpolate",
    "posterior_point",
    "reconstruct",
    "repeated_condition",
    "sample",
    "sample_in_parts",
]
