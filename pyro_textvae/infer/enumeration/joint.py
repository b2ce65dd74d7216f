# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A model alone, with some of its sites enumerated and all others given."""

from __future__ import annotations

from typing import Any

from pyro.poutine import Trace

from pyro_textvae.infer.enumeration.dims import (
    dims_of,
    is_enumerated,
    shape_of,
    sites_by_id,
    values_of,
)
from pyro_textvae.infer.enumeration.enumeration import Enumeration
from pyro_textvae.infer.enumeration.factor import Factor
from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.sites import random_sites


def enumerated_joint(model_trace: Trace) -> Enumeration:
    r"""log p(x, y, z) of a model that was run by :class:`SumOver`, for every value of its sites y.

    ``log_weights()`` is then log sum_y p(x, y, z), ``log_weights_of("y")`` log p(x, y, z), both of
    the z that the trace has, and their difference the exact log p(y | x, z).

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> from pyro import poutine
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         y = pyro.sample("y", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    ...         pyro.sample("x", dist.Normal(z + y, 1.0), obs=tokens)
    >>> from pyro_textvae.infer.enumeration import SumOver
    >>> z = torch.zeros(5, 2)  # Five draws for each of two sentences.
    >>> run = poutine.condition(SumOver(-3, {}, given=["z"])(model), {"z": z})
    >>> with pyro.plate("num_particles_vectorized", 5, dim=-2):
    ...     sums = enumerated_joint(poutine.trace(run).get_trace(tokens=torch.zeros(2)))
    >>> sums.log_weights().shape, sums.log_weights_of("y").shape
    (torch.Size([5, 2]), torch.Size([2, 5, 2]))

    Where a site is masked it is summed over nevertheless, and its values' total is 1. ``choices``
    are log p(y), given the sites before it.

    :raises ValueError: with the site's name, for a site outside the plate ``"data"`` that is not a
        global latent.
    """
    model_trace.compute_log_prob()
    ids = sites_by_id(model_trace)
    choices: dict[str, Factor] = {}
    joint = []
    values = {}
    for name, site in random_sites(model_trace):
        if is_global(site):
            continue
        mask: Any = site["mask"]
        if is_enumerated(site):
            mask, values[name] = None, values_of(site)
        factor = Factor.of(name, site, site["unscaled_log_prob"], dims_of(ids, site), mask)
        joint.append(factor)
        if is_enumerated(site):
            choices[name] = factor
    return Enumeration(choices, {}, joint, values, shape_of(joint))
