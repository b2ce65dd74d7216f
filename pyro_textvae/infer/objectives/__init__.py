# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Objectives, one a file; each a ``pyro.infer.ELBO``."""

from pyro_textvae.infer.objectives.beta_elbo import BetaELBO

__all__ = ["BetaELBO"]
