# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Walks in the latent space, and what lies near a sentence there."""

from pyro_textvae.generation.latent_space.aggregate_moments import (
    AggregateMoments,
    aggregate_moments,
)
from pyro_textvae.generation.latent_space.arithmetic import arithmetic
from pyro_textvae.generation.latent_space.embedding import Embedding, embed
from pyro_textvae.generation.latent_space.label_direction import label_direction
from pyro_textvae.generation.latent_space.neighbours import Neighbours, neighbours
from pyro_textvae.generation.latent_space.traverse import traverse

__all__ = [
    "AggregateMoments",
    "Embedding",
    "Neighbours",
    "aggregate_moments",
    "arithmetic",
    "embed",
    "label_direction",
    "neighbours",
    "traverse",
]
