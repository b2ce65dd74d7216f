# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The density of a guide's latents at any values, site by site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.contract import PARTICLE_PLATE
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.plates import Plates
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites, random_sites
from pyro_textvae.infer.terms import by_datum

_PAIRS_AT_ONCE = 2**16


class NoDensityError(ValueError):
    """A guide can score its own draws alone, as a flow without an inverse."""


def draws_of(
    guide: nn.Module, batch: Mapping[str, Tensor], plates: Plates, count: int
) -> dict[str, Tensor]:
    """Draws of all latents for every sentence of a batch, ``(K, N, *event)`` each."""
    with pyro.plate(PARTICLE_PLATE, count, dim=plates.particle_dim):
        trace = trace_guide(guide, **fields_of(guide, batch))
    drawn = {}
    for name, site in latent_sites(trace):
        value = plates.datum_first(name, site["value"])
        drawn[name] = value.expand(count, *value.shape[1:])
    return drawn


def log_prob_by_site(
    guide: nn.Module, batch: Mapping[str, Tensor], plates: Plates, values: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """log q of each site given those before it and the sentence, ``(K, N)`` float64 each.

    :param values: of every latent, ``(K, N, *event)``.
    :raises NoDensityError: for a guide with a flow that has no inverse.
    """
    count, size = next(iter(values.values())).shape[:2]
    rows = max(1, _PAIRS_AT_ONCE // size)
    parts = []
    for start in range(0, count, rows):
        part = {
            name: plates.as_in_program(name, value[start : start + rows])
            for name, value in values.items()
        }
        shape = (min(rows, count - start), size)
        program = poutine.condition(guide, data=part)
        with pyro.plate(PARTICLE_PLATE, shape[0], dim=plates.particle_dim):
            trace = poutine.trace(program).get_trace(**fields_of(guide, batch))
        sites = {name: site for name, site in random_sites(trace) if name in values}
        parts.append({name: _log_prob(name, site).expand(shape) for name, site in sites.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _log_prob(name: str, site: Any) -> Tensor:
    try:
        log_prob = site["fn"].log_prob(site["value"])
    except (NotImplementedError, KeyError) as error:  # the latter of Pyro's flows
        raise NoDensityError(
            f"the posterior of latent site {name!r} has a density for its own draws alone"
        ) from error
    return by_datum(name, site, log_prob).double()
