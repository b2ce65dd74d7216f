# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The two kinds of reconstructions, by what they are decoded from."""

from __future__ import annotations

from pyro_textvae.assessment.material import Material
from pyro_textvae.errors import UserError
from pyro_textvae.generation import encode

AT = {
    "mean_reconstructions": ("at the posterior mean", "mean"),
    "drawn_reconstructions": ("at a draw", "draw"),
}
"""By the name in the material: in a label, and at the end of a number's name."""


def why_not_reconstructed(material: Material) -> str | None:
    """Why nothing can be decoded again; None where it can."""
    one = {name: value[:1] for name, value in material.batch.items()}
    try:
        encode(material.guide, one)
    except UserError as error:
        return str(error)
    return None
