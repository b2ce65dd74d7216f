# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""log p(x) of any small program, by a sum over a grid of all that it draws."""

import itertools
import math

import pyro
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch.distributions import biject_to

from pyro_textvae.infer.simulate import fields_of

NODES = torch.arange(-6.0, 6.01, 0.5, dtype=torch.float64)
"""The trapezoid rule: its error falls as exp(-(2 pi scale / step)^2 / 2) for a Gaussian."""
_AT_ONCE = 50_000


def log_px(model, guide, batch, num_draws=16):
    """log p(x) of each datum ``(N,)`` and its standard error, every datum as a batch of its own.

    A real or positive coordinate takes the places of a grid, a site of finitely many values takes
    them all, and what is masked takes one value. The model is run under a plate of particles. Of
    latents outside the plate ``"data"`` there are draws from the guide, whence the error.
    """
    trace = poutine.trace(model).get_trace(**fields_of(model, batch))
    shared = [s["name"] for s in random_sites(trace) if is_global(s) and not s["is_observed"]]
    if not shared:
        exact = log_px_given(model, batch)
        return exact, torch.zeros_like(exact)
    given = []
    for _ in range(num_draws):
        drawn = poutine.trace(guide).get_trace(**fields_of(guide, batch)).nodes
        values = {name: drawn[name]["value"].detach() for name in shared}
        given.append(log_px_given(poutine.condition(model, data=values), batch))
    mean = torch.stack(given).logsumexp(0) - math.log(num_draws)
    error = (torch.stack(given) - mean).exp().std(0) / math.sqrt(num_draws)
    return mean, error


def is_global(site):
    return "data" not in [frame.name for frame in site["cond_indep_stack"]]


def log_px_given(model, batch):
    fields = fields_of(model, batch)
    rows = [{name: f[n : n + 1] for name, f in fields.items()} for n in range(len(batch["tokens"]))]
    return torch.stack([_log_px_of_one(model, row) for row in rows])


@torch.no_grad()
def _log_px_of_one(model, row):
    trace = poutine.trace(model).get_trace(**row)
    sites = [site for site in random_sites(trace) if not site["is_observed"]]
    axes = [axis for site in sites for axis in axes_of(site)]
    columns, log_weights = (
        torch.cartesian_prod(*parts).reshape(-1, len(axes)) for parts in zip(*axes, strict=True)
    )
    totals = [joint(model, row, sites, part) for part in columns.split(_AT_ONCE)]
    return (torch.cat(totals) + log_weights.sum(-1)).logsumexp(0)


def random_sites(trace):
    sites = [site for site in trace.nodes.values() if site["type"] == "sample"]
    drawn = [site for site in sites if not site["infer"].get("_deterministic")]
    return [site for site in drawn if not site_is_subsample(site)]


def axes_of(site):
    """Places of each coordinate of a site, and the logarithms of the lengths between them."""
    fn = site["fn"]
    there = torch.ones(fn.batch_shape).bool()
    if site["mask"] is not None:
        there = there & site["mask"]
    for counts in there.flatten().tolist():
        for _ in range(fn.event_shape.numel()):
            values, log_weights = places_of(fn)
            yield (values, log_weights) if counts else (values[:1], 0 * log_weights[:1])


def places_of(fn):
    if fn.has_enumerate_support:
        values = fn.enumerate_support(expand=False).flatten().double()
        return values, torch.zeros_like(values)
    support = fn.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    transform = biject_to(support)
    values = transform(NODES)
    step = math.log(NODES[1] - NODES[0])
    return values, step + transform.log_abs_det_jacobian(NODES, values)


def joint(model, row, sites, columns):
    """log p(x, z) ``(K,)`` of each row of coordinates ``(K, D)``."""
    nesting = max(-frame.dim for site in sites for frame in site["cond_indep_stack"])
    widths = [site["value"].numel() for site in sites]
    values = {}
    for site, part in zip(sites, columns.split(widths, -1), strict=True):
        batch, event = site["fn"].batch_shape, site["fn"].event_shape
        shape = (len(columns), *itertools.repeat(1, nesting - len(batch)), *batch, *event)
        values[site["name"]] = part.reshape(shape).to(site["value"].dtype)
    with pyro.plate("particles", len(columns), dim=-1 - nesting):
        trace = poutine.trace(poutine.condition(model, data=values)).get_trace(**row)
    trace.compute_log_prob()
    parts = [site["log_prob"] for site in random_sites(trace) if not is_global(site)]
    return sum(part.expand(len(columns), *part.shape[1:]).flatten(1).sum(1) for part in parts)
