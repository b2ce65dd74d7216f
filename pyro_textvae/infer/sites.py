# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sites of a trace that carry probability."""

from __future__ import annotations

from typing import Any

from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample


def random_sites(trace: Trace) -> list[tuple[str, Any]]:
    """Names and sites, in order; without subsampling and ``pyro.deterministic``."""
    nodes: Any = trace.nodes
    return [
        (name, site)
        for name, site in nodes.items()
        if site["type"] == "sample"
        and not site_is_subsample(site)
        and not site["infer"].get("_deterministic")
    ]


def latent_sites(trace: Trace) -> list[tuple[str, Any]]:
    """Those of them that are not observed."""
    return [(name, site) for name, site in random_sites(trace) if not site["is_observed"]]


def check_same_latents(model_trace: Trace, guide_trace: Trace) -> None:
    """Check that model and guide have the same latent sites.

    :raises ValueError: with the site's name, for a latent that only one of the two programs has.
    """
    of_guide = {name for name, _ in latent_sites(guide_trace)}
    of_model = {name for name, _ in latent_sites(model_trace)}
    for name, _ in latent_sites(model_trace):
        if name not in of_guide:
            raise ValueError(
                f"the guide has no site {name!r} for the model's latent of that name: add "
                f"pyro.sample({name!r}, ...) to the guide"
            )
    for name, _ in latent_sites(guide_trace):
        if name not in of_model:
            raise ValueError(
                f"guide site {name!r} is no latent of the model: rename it, or add "
                f"pyro.sample({name!r}, ...) to the model"
            )
