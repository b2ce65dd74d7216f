# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What metrics of texts with a source have in common."""

from __future__ import annotations

from pyro_textvae import zoo
from pyro_textvae.assessment.material import Material


def why_no_source(material: Material) -> str | None:
    """Why there is no text given a source; None where there is."""
    if not material.takes_source:
        return "the model takes no source"
    return None


def world_name(material: Material) -> str | None:
    """The name of the world of the text; None for other text."""
    world = material.corpus.world
    return None if world is None else zoo.name_of("worlds", type(world))
