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

    :raises ValueError: with the names of both, for a latent that only one of the two programs has.
    """
    in_model, in_guide = (
        sorted(name for name, _ in latent_sites(trace)) for trace in (model_trace, guide_trace)
    )
    if in_model != in_guide:
        raise ValueError(
            f"the model's latent sites are {', '.join(in_model) or 'none'}, the guide's "
            f"{', '.join(in_guide) or 'none'}: they must be the same; choose another --guide or "
            "rename the sites"
        )
