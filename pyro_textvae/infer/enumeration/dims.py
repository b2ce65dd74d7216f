# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which dimension of a trace's tensors belongs to which enumerated site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pyro.poutine import Trace
from torch import Tensor

from pyro_textvae.infer.enumeration.factor import DATA, PARTICLES, Factor, PlateDim
from pyro_textvae.infer.plates import frames_in_data


def is_enumerated(site: Any) -> bool:
    """Whether a site of a trace has all its values, in the place of a draw."""
    return site["infer"].get("_enumerate_dim") is not None


def sites_by_id(*traces: Trace) -> dict[int, str]:
    """The enumerated site that each of Pyro's ids of dimensions is of."""
    ids = {}
    for trace in traces:
        nodes: Any = trace.nodes
        for name, site in nodes.items():
            if site["type"] == "sample" and is_enumerated(site):
                ids[site["infer"]["_dim_to_id"][site["infer"]["_enumerate_dim"]]] = name
    return ids


def dims_of(ids: Mapping[int, str], *sites: Any) -> dict[int, str]:
    """The enumerated site of each dimension of the log-densities of a site, from the right.

    :param sites: that of the guide and that of the model, for what is made of both.
    """
    return {
        dim: ids[number]
        for site in sites
        for dim, number in site["infer"].get("_dim_to_id", {}).items()
        if number in ids
    }


def plates_of(name: str, site: Any) -> frozenset[PlateDim]:
    """The plates that a site is in."""
    return frozenset(map(PlateDim, frames_in_data(name, site)))


def values_of(site: Any) -> Tensor:
    """The values of an enumerated site, ``(C, *event)``."""
    event_dim = site["fn"].event_dim
    value = site["value"].movedim(site["infer"]["_enumerate_dim"] - event_dim, 0)
    count = value.dim() - event_dim
    return value.flatten(1, count - 1)[:, 0] if count > 1 else value


def shape_of(factors: Sequence[Factor]) -> torch.Size:
    """K and N."""
    sizes = {dim: n for f in factors for dim, n in zip(f.dims, f.tensor.shape, strict=True)}
    return torch.Size((sizes.get(PARTICLES, 1), sizes[DATA]))
