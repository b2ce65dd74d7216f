# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences out of a model: samples, reconstructions, walks."""

from pyro_textvae.generation.decoding import encode, interpolate, reconstruct, sample

__all__ = ["encode", "interpolate", "reconstruct", "sample"]
