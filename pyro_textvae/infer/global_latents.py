# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Latents of the whole corpus: those that stand outside the plate ``"data"``."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from pyro.poutine.plate_messenger import PlateMessenger
from torch import Tensor

from pyro_textvae.contract import DATA_PLATE, TEXT_SITE
from pyro_textvae.infer.sites import latent_sites


def is_global(site: Any) -> bool:
    """Whether a site of a trace, or the message of one, is a latent outside the plate ``"data"``.

    Text that is generated is no latent, wherever it stands.
    """
    return (
        not site["is_observed"]
        and site["name"] != TEXT_SITE
        and not any(f.name == DATA_PLATE and f.vectorized for f in site["cond_indep_stack"])
    )


def global_sites(trace: Trace) -> list[tuple[str, Any]]:
    """Names and sites of the global latents of a trace, in order."""
    return [(name, site) for name, site in latent_sites(trace) if is_global(site)]


def global_part(trace: Trace) -> Trace:
    """The global latents of a trace alone, to replay them."""
    part = Trace()
    for name, site in global_sites(trace):
        part.add_node(name, **site)
    return part


def global_sum(site: Any, value: Tensor) -> Tensor:
    """``value`` of a global latent, masked and summed over the plates that it is in; no dimension.

    A plate that its distribution does not show is counted as often as it has places.
    """
    value = scale_and_mask(value, 1.0, site["mask"])
    shape = torch.broadcast_shapes(value.shape, site["fn"].batch_shape)
    return value.expand(shape).sum()


def global_log_prob(trace: Trace) -> Tensor | float:
    """The log-density of all global latents of a trace together, at their values; nats."""
    sites = global_sites(trace)
    return sum((global_sum(s, s["fn"].log_prob(s["value"])) for _, s in sites), start=0.0)


class ParticlePlate(PlateMessenger):
    """A plate of particles that global latents are not in: all particles share one draw of them.

    What is bounded with K draws of a sentence's latents is bounded given the global ones, so these
    must be the same for the K.
    """

    def _process_message(self, msg: Any) -> None:
        if msg["type"] == "sample" and is_global(msg):
            return
        super()._process_message(msg)


def cannot_train(site: str, objective: str) -> str:
    """What is said of a global latent under an objective that one draw of it is not enough for."""
    return (
        f"latent site {site!r} is outside the plate 'data', so it is one latent of the whole "
        f"corpus, which {objective} cannot train: use BetaELBO, IWAE or DReG, or put the site "
        "inside the plate"
    )


def size_not_known(site: str, objective: str) -> str:
    """What is said of a global latent under an objective that does not know its share."""
    return (
        f"latent site {site!r} is outside the plate 'data', so it is one latent of the whole "
        f"corpus, whose size {objective} was not told: give corpus_size=, or put the site inside "
        "the plate"
    )
