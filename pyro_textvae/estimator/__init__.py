# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A run as one Python object: fit, score, sample, save."""

from pyro_textvae.estimator.text_vae import TextVAE

__all__ = ["TextVAE"]
