# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Priors p(z | source), one a file; each is called with the features of a source."""

from pyro_textvae.conditional_priors.flow import ConditionalFlow
from pyro_textvae.conditional_priors.gaussian import ConditionalGaussian
from pyro_textvae.conditional_priors.gaussian_mixture import ConditionalGaussianMixture
from pyro_textvae.conditional_priors.standard_normal import UnconditionalStandardNormal

__all__ = [
    "ConditionalFlow",
    "ConditionalGaussian",
    "ConditionalGaussianMixture",
    "UnconditionalStandardNormal",
]
