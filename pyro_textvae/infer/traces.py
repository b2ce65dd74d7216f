# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the guide's draws reach the model: with their gradient, without it, or with it in hand."""

from __future__ import annotations

from contextlib import nullcontext
from enum import Enum
from typing import Any

from pyro import poutine
from pyro.infer.util import is_validation_enabled
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, check_site_shape
from torch import Tensor

from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.enumeration.dims import is_enumerated
from pyro_textvae.infer.enumeration.marks import StopAtMarks
from pyro_textvae.infer.enumeration.sum_over import SumOver
from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.plates import deepest_plate, named
from pyro_textvae.infer.sites import (
    auxiliary_sites,
    check_same_latents,
    latent_sites,
    random_sites,
)


class Draws(Enum):
    """How the gradient of a bound comes back to the guide.

    CONNECTED
        Through the draws and through log q, as autograd has it.
    CUT
        As the estimator says, by :mod:`pyro_textvae.infer.cut_graph`.
    DETACHED
        Through log q alone: the draws are numbers, so that they may be discrete too.
    """

    CONNECTED = "connected"
    CUT = "cut"
    DETACHED = "detached"


def trace_pair(
    model: Any,
    guide: Any,
    args: tuple,
    kwargs: dict,
    draws: Draws,
    enumerate_from: int | None = None,
) -> tuple[Trace, Trace, dict[str, Tensor]]:
    """Run guide and model, and return their traces and the guide's own draws.

    Each program receives the keywords that it names, beside positional arguments all of them.

    With ``Draws.CUT`` the model sees a view of each draw, at which a hook can be set, and log q is
    taken at a leaf: the gradients of log p, of log q in the draw, and of log q in the guide's own
    parameters can then be told apart, for any number of latents that depend on each other. The
    draw of a global latent stays connected: to the sentences it is as a parameter of both programs.

    :param enumerate_from: the first dimension for the values of marked sites, left of all plates;
        without it there must be none.
    :raises MarkedSite: at a marked site without ``enumerate_from``.
    """
    sizes: dict[int, int] = {}
    fields_of_guide, fields_of_model = named(guide, args, kwargs), named(model, args, kwargs)
    if enumerate_from is None:
        guide = StopAtMarks(in_model=False)(guide)
    else:
        guide = SumOver(enumerate_from, sizes)(guide)
    with _Detach() if draws is Draws.DETACHED else nullcontext():
        guide_trace = trace_guide(guide, *args, **fields_of_guide)
    sites = latent_sites(guide_trace) + auxiliary_sites(guide_trace)
    drawn = {name: site["value"] for name, site in sites}
    seen = guide_trace
    if draws is Draws.CUT:
        seen = guide_trace.copy()
        for name, draw in drawn.items():
            site: Any = guide_trace.nodes[name]
            if is_global(site) or is_enumerated(site):
                continue
            leaf = draw.detach().requires_grad_(draw.requires_grad)
            seen.nodes[name] = {**site, "value": draw.view_as(draw)}
            guide_trace.nodes[name] = {**site, "value": leaf}
    if enumerate_from is None:
        model = StopAtMarks(in_model=True, given=seen.nodes)(model)
    else:
        model = SumOver(None, sizes, given=seen.nodes)(model)
    replayed = poutine.replay(model, trace=seen)
    model_trace = poutine.trace(replayed).get_trace(*args, **fields_of_model)
    check_same_latents(model_trace, guide_trace, sums_out=enumerate_from is not None)
    validated = is_validation_enabled()
    max_plate_nesting = deepest_plate(model_trace, guide_trace) if validated else 0
    if validated:
        check_model_guide_match(model_trace, guide_trace, max_plate_nesting)
    model_trace, guide_trace = (prune_subsample_sites(t) for t in (model_trace, guide_trace))
    for trace in (model_trace, guide_trace):
        trace.compute_log_prob()
        for _, site in random_sites(trace) if validated else ():
            check_site_shape(site, max_plate_nesting)
    return model_trace, guide_trace, drawn


class _Detach(Messenger):
    """Cuts every draw from the parameters of its distribution, for the program that drew it too."""

    def _pyro_post_sample(self, message: Any) -> None:
        value = message["value"]
        if not message["is_observed"] and isinstance(value, Tensor) and value.requires_grad:
            message["value"] = value.detach()
