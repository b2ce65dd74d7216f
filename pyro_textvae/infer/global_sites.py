# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What guide and model say of the global latents of one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pyro_textvae.infer.global_latents import global_sum


@dataclass(frozen=True)
class GlobalSite:
    """One latent of the whole corpus, outside the plate ``"data"``: of one pass, one draw.

    kl
        KL(q, p) of the whole site, no dimension, nats: the closed form where one is registered,
        as for latents of sentences; otherwise log q - log p of the draw.
    is_reparameterised
        Whether the draw carries a gradient to the guide.
    """

    name: str
    kl: Tensor
    is_reparameterised: bool


def read_global_sites(
    sites: Mapping[str, tuple[Any, Any]], closed_forms: Mapping[str, Tensor]
) -> tuple[GlobalSite, ...]:
    """The global latents of a pair of traces.

    :param sites: of model and guide, by name.
    :param closed_forms: see :func:`~pyro_textvae.infer.closed_forms.closed_forms`.
    """
    return tuple(
        GlobalSite(
            name,
            global_sum(posterior, closed_forms[name])
            if name in closed_forms
            else global_sum(posterior, posterior["unscaled_log_prob"])
            - global_sum(prior, prior["unscaled_log_prob"]),
            bool(posterior["fn"].has_rsample),
        )
        for name, (prior, posterior) in sites.items()
    )
