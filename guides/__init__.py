# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Encoders as Pyro guides, one a file."""

import os

# Debuggers match breakpoints by real path, and this folder is reached through a link.
__path__ = [os.path.realpath(path) for path in __path__]

from pyro_textvae.guides.delta import DeltaGuide
from pyro_textvae.guides.dialogue import DialogueGuide
from pyro_textvae.guides.document import DocumentGuide
from pyro_textvae.guides.empty import EmptyGuide
from pyro_textvae.guides.full_covariance import FullCovarianceGuide
from pyro_textvae.guides.gaussian import GaussianGuide
from pyro_textvae.guides.gaussian_mixture import GaussianMixtureGuide
from pyro_textvae.guides.inverse_autoregressive_flow import InverseAutoregressiveFlowGuide
from pyro_textvae.guides.labelled import LabelledGuide
from pyro_textvae.guides.low_rank import LowRankGuide
from pyro_textvae.guides.paraphrase import ParaphraseGuide
from pyro_textvae.guides.power_spherical import PowerSphericalGuide
from pyro_textvae.guides.product_space import ProductSpaceGuide
from pyro_textvae.guides.spline_flow import SplineFlowGuide
from pyro_textvae.guides.topic import TopicGuide
from pyro_textvae.guides.topic_sentence import TopicSentenceGuide
from pyro_textvae.guides.von_mises_fisher import VonMisesFisherGuide

__all__ = [
    "DeltaGuide",
    "DialogueGuide",
    "DocumentGuide",
    "EmptyGuide",
    "FullCovarianceGuide",
    "GaussianGuide",
    "GaussianMixtureGuide",
    "InverseAutoregressiveFlowGuide",
    "LabelledGuide",
    "LowRankGuide",
    "ParaphraseGuide",
    "PowerSphericalGuide",
    "ProductSpaceGuide",
    "SplineFlowGuide",
    "TopicGuide",
    "TopicSentenceGuide",
    "VonMisesFisherGuide",
]
