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
from pyro_textvae.generation.latent_space.neighbours import (
    Neighbours,
    distances_of_points,
    neighbours,
)
from pyro_textvae.generation.latent_space.traverse import moved_latents, traverse

__all__ = [
    "AggregateMoments",
    "Embedding",
    "Neighbours",
    "aggregate_moments",
    "arithmetic",
    "distances_of_points",
    "embed",
    "label_direction",
    "moved_latents",
    "neighbours",
    "traverse",
]
