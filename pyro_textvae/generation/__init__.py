# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences out of a model: samples, reconstructions, walks."""

from pyro_textvae.generation.decoding import encode, interpolate, reconstruct, sample
from pyro_textvae.generation.ex_post_density import ExPostDensity, fit_ex_post_density

__all__ = [
    "ExPostDensity",
    "encode",
    "fit_ex_post_density",
    "interpolate",
    "reconstruct",
    "sample",
]
