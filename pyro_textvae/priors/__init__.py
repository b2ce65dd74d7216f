# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Priors p(z), one a file; called with nothing, each returns a distribution."""

from pyro_textvae.priors.autoregressive import AutoregressivePrior
from pyro_textvae.priors.flow_prior import FlowPrior
from pyro_textvae.priors.gaussian_mixture import GaussianMixture
from pyro_textvae.priors.product_space import ProductSpace
from pyro_textvae.priors.standard_normal import StandardNormal
from pyro_textvae.priors.uniform_sphere import UniformSphere
from pyro_textvae.priors.vamp_prior import VampPrior

__all__ = [
    "AutoregressivePrior",
    "FlowPrior",
    "GaussianMixture",
    "ProductSpace",
    "StandardNormal",
    "UniformSphere",
    "VampPrior",
]
