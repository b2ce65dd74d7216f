# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the sentences of a batch are in the latent space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.distributions.independent_blocks import IndependentBlocks
from pyro_textvae.distributions.sphere import lies_on_sphere, unit_vector
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.latents.posterior_means import posterior_mean
from pyro_textvae.infer.auxiliary_sites import at_means, trace_guide
from pyro_textvae.infer.global_latents import global_sites, is_global
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites


def posterior_sites(
    guide: nn.Module, batch: Mapping[str, Tensor], *, mean: bool
) -> tuple[list[tuple[str, Any]], dict[str, Tensor]]:
    """The latent sites of the sentences of a batch, and the draws of the global ones.

    :param mean: whether discrete latents are at their likeliest values, and what latents are made
        of by the way is at its mean, as an autoguide's.
    :raises UserError: for a guide without a latent of sentences.
    """
    fields = fields_of(guide, to_device(batch, guide))
    trace = trace_guide(guide, **fields)
    trace = _at_modes(guide, at_means(guide, trace, fields), fields) if mean else trace
    sites = [(name, site) for name, site in latent_sites(trace) if not is_global(site)]
    if not sites:
        raise UserError(
            "the model has no latent of its sentences, so there is nothing to encode: use a model "
            "with a latent"
            if global_sites(trace)
            else "the model has no latent, so there is nothing to encode: use a model with a latent"
        )
    return sites, {name: site["value"] for name, site in global_sites(trace)}


def _at_modes(guide: nn.Module, trace: Any, fields: Mapping[str, Any]) -> Any:
    """The trace of a guide whose discrete latents are at their likeliest values.

    What it draws given one of them belongs to the value that the sentence is decoded with.
    """
    modes = trace.copy()
    for name, site in dict(trace.nodes).items():
        is_latent = site["type"] == "sample" and not site["is_observed"]
        if is_latent and is_discrete(site["fn"]):
            modes.nodes[name] = {**site, "value": site["fn"].mode}
        else:
            modes.remove_node(name)
    return trace_guide(poutine.replay(guide, trace=modes), **fields) if modes.nodes else trace


def posterior_point(fn: Any) -> Tensor:
    """The one latent that stands for a posterior: its mean, on a sphere its mean direction.

    ``batch_shape + event_shape``. The mean over a sphere lies inside it, where no decoder was
    trained; a discrete latent is at its likeliest value, for it takes no value between.

    >>> from pyro_textvae.distributions import PowerSpherical
    >>> posterior_point(torch.distributions.Normal(torch.tensor([0.5, -1.0]), 2.0))
    tensor([ 0.5000, -1.0000])
    >>> posterior_point(PowerSpherical(torch.tensor([0.0, 1.0]), torch.tensor(3.0)))
    tensor([0., 1.])
    """
    if is_discrete(fn):
        return fn.mode
    if isinstance(fn, IndependentBlocks):
        return torch.cat([posterior_point(block) for block in fn.blocks], -1)
    mean = posterior_mean(fn)
    return unit_vector(mean) if lies_on_sphere(fn) else mean


def is_discrete(fn: Any) -> bool:
    """Whether the draws of a distribution are of a countable set, by its support."""
    support = getattr(fn, "support", None)
    return support is not None and support.is_discrete
