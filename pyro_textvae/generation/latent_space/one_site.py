# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The one latent vector that a walk is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.errors import UserError
from pyro_textvae.generation.posteriors import is_discrete


def one_site(sites: Sequence[tuple[str, Any]], name: str | None) -> tuple[str, Any]:
    """The latent site of this name, or the only one that is a vector of real numbers.

    :param sites: names and sites of a trace.
    :raises UserError: for a name that there is not, none where there are several, and for a site
        that is no vector in one space.
    """
    names = ", ".join(each for each, _ in sites)
    vectors = [(each, site) for each, site in sites if _is_vector(site["fn"])]
    if name is None:
        if len(vectors) != 1:
            raise UserError(
                f"the latents {names} leave open which one the walk is in: give its site"
                if vectors
                else f"a walk is in one vector of real numbers, and the latents are {names}"
            )
        return vectors[0]
    if name not in dict(sites):
        raise UserError(f"there is no latent site {name!r}: there are {names}")
    if name not in dict(vectors):
        raise UserError(f"the latent {name!r} is no vector of real numbers in one space")
    return name, dict(sites)[name]


def _is_vector(fn: Any) -> bool:
    return not (is_discrete(fn) or isinstance(fn, IndependentBlocks)) and len(fn.event_shape) == 1
