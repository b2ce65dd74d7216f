# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which guides of the catalogue go with a model of one latent vector a sentence, or of none."""

from pyro_textvae import zoo
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.nn import Guide

GUIDES_OF_SENTENCES = [
    name
    for name in zoo.names("guides")
    for guide in [zoo.load("guides", name)]
    if guide is EmptyGuide or guide.forward is Guide.forward
]
"""Those of other models have a ``forward`` of their own."""
