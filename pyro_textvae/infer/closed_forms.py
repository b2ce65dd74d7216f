# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""KL divergences of latent sites in closed form, where there is one."""

from __future__ import annotations

from typing import Any

from pyro.poutine import Trace
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_textvae.infer.sites import auxiliary_sites, random_sites


def closed_forms(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """KL(q, p) of the latent sites that have a closed form, each of the shape of its batch.

    A site has one when it is registered with PyTorch and the guide draws all the latents that come
    before the site in the model before it too: only then is its mean over the draws the KL.
    """
    kl: dict[str, Tensor] = {}
    if auxiliary_sites(guide_trace):
        return kl
    guide_order = [name for name, _ in random_sites(guide_trace)]
    seen: set[str] = set()
    for name, site in random_sites(model_trace):
        if name not in guide_order:
            continue
        guide_site: Any = guide_trace.nodes[name]
        parents_drawn = seen <= set(guide_order[: guide_order.index(name)])
        seen.add(name)
        if not parents_drawn:
            continue
        try:
            kl[name] = kl_divergence(guide_site["fn"], site["fn"])
        except NotImplementedError:
            continue
    return kl
