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
