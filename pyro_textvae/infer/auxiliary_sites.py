# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Guides that draw a latent by way of an auxiliary site, as Pyro's autoguides do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.distributions import Delta, TransformedDistribution
from pyro.poutine import Trace
from pyro.poutine.guide import GuideMessenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import biject_to

from pyro_textvae.errors import UserError
from pyro_textvae.infer.autoguides import (
    check_autoguide,
    latents_of_autoguides,
    without_handlers,
)
from pyro_textvae.infer.sites import auxiliary_sites, latent_sites

_MADE_OF = "made_of"


def trace_guide(guide: Any, /, *args: Any, **kwargs: Any) -> Trace:
    """Run a guide, and return its trace, with a density at each latent where that is possible.

    ``AutoNormal``, say, draws ``z_unconstrained`` from a Gaussian, marked auxiliary, and ``z`` from
    a point at its image. Here the image is the latent: its distribution is that of the auxiliary
    site, through the map to the support of ``z``, and the auxiliary site is gone. One that several
    latents are made of, or by a map that is not known, stays beside the points.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> def guide():
    ...     with pyro.plate("data", 2):
    ...         u = pyro.sample("u", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
    ...         pyro.sample("z", dist.Delta(u))
    >>> [(name, type(site["fn"]).__name__) for name, site in latent_sites(trace_guide(guide))]
    [('z', 'Normal')]

    :raises ValueError: for an autoguide that has a posterior for each place in a batch.
    :raises UserError: as the guide itself, in one line.
    """
    check_autoguide(guide)
    try:
        trace = poutine.trace(guide).get_trace(*args, **kwargs)
    except UserError as error:
        # Pyro has added its table of trace shapes.
        raise UserError(str(error).partition("\nTrace Shapes:")[0]) from error
    check_autoguide(guide)
    if isinstance(without_handlers(guide), GuideMessenger):
        _keep_posteriors(trace)
    priors = latents_of_autoguides(guide)
    above: tuple[str, Any] | None = None
    nodes: dict[str, Any] = dict(trace.nodes)
    for name, site in nodes.items():
        if site["type"] != "sample":
            continue
        if site["infer"].get("is_auxiliary"):
            above = name, site
        elif above is not None and isinstance(site["fn"], Delta) and not site["is_observed"]:
            made = _image(above[1], site, priors.get(name))
            if made is not None:
                fn, transform = made
                infer = {**site["infer"], _MADE_OF: (above[0], transform)}
                trace.nodes[name] = {**site, "fn": fn, "infer": infer}
                trace.remove_node(above[0])
                above = None
    return trace


def at_latents(trace: Trace, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a guide is conditioned on, so that its latents have these values.

    :param trace: of the same guide, by :func:`trace_guide`.
    :raises NotImplementedError: where latents are made of an auxiliary site in a way unknown.
    """
    if auxiliary := auxiliary_sites(trace):
        raise NotImplementedError(
            f"the guide makes its latents of the auxiliary site {auxiliary[0][0]!r}: it cannot "
            "score latents that it has not drawn"
        )
    values = dict(latents)
    for name, site in latent_sites(trace):
        if name in values and _MADE_OF in site["infer"]:
            auxiliary_name, transform = site["infer"][_MADE_OF]
            value = values.pop(name)
            values[auxiliary_name] = value if transform is None else transform.inv(value)
    return values


def at_means(guide: Any, trace: Trace, fields: Mapping[str, Any]) -> Trace:
    """The trace of a guide whose auxiliary sites are at their means, as an autoguide's median.

    :param trace: of the guide on ``fields``.
    :raises NotImplementedError: where one has no mean.
    """
    means = {name: site["fn"].mean for name, site in auxiliary_sites(trace)}
    return trace_guide(poutine.condition(guide, data=means), **fields) if means else trace


def _keep_posteriors(trace: Trace) -> None:
    """Leave out what is the model's alone, which a guide that is a messenger runs."""
    nodes: dict[str, Any] = dict(trace.nodes)
    for name, site in nodes.items():
        if site["type"] != "sample" or site_is_subsample(site):
            continue
        if "prior" not in site["infer"] and not site["infer"].get("is_auxiliary"):
            trace.remove_node(name)


def _image(source: Any, image: Any, prior: Any) -> tuple[Any, Any] | None:
    """The distribution of a point at the image of ``source``, and the map; None if not known.

    :param prior: the distribution of the latent in the model; None where that is not known.
    """
    if source["mask"] is not image["mask"] and source["mask"] != image["mask"]:
        return None
    value, point = source["value"], image["value"]
    if point.shape == value.shape and point.data_ptr() == value.data_ptr():
        if torch.as_tensor(image["fn"].log_density).any():
            return None
        return source["fn"], None
    if prior is None:
        return None
    transform = biject_to(prior.support)
    with torch.no_grad():
        same = transform.forward_shape(value.shape) == point.shape and torch.allclose(
            transform(value), point
        )
    if not same:
        return None
    return TransformedDistribution(source["fn"], [transform]), transform
