# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Weights of single sites in a bound that is a sum over sites."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.infer.constraint import KLConstraint
from pyro_textvae.infer.terms import PerDatumTerms


def checked_site_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights by the name of a site, each finite and not negative.

    >>> checked_site_weights({"z_1": 0.5, "y": -1})
    Traceback (most recent call last):
        ...
    ValueError: the weight of site 'y' must be finite and not negative, got -1

    :raises ValueError: with the name and the value, for any other.
    """
    for name, weight in weights.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not (is_number and math.isfinite(weight) and weight >= 0):
            raise ValueError(
                f"the weight of site {name!r} must be finite and not negative, got {weight!r}"
            )
    return {name: float(weight) for name, weight in weights.items()}


def weighted_bound(
    terms: PerDatumTerms,
    weights: Mapping[str, float],
    kl_weight: float,
    constraint: KLConstraint | None = None,
) -> Tensor:
    r"""The weighted bound of each sentence, ``(N,)`` nats.

    .. math::
        \frac{1}{K} \sum_k \Big( \sum_o w_o \log p(x_o \mid z_k)
        - \beta \sum_l w_l \mathrm{KL}_{lk} \Big)

    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.tensor([[-5.0]]), observed={"x": torch.tensor([[-5.0]])},
    ...     log_ratio={}, kl={"z_1": torch.tensor([[2.0]]), "z_2": torch.tensor([[1.0]])},
    ...     scale=1.0,
    ... )
    >>> weighted_bound(terms, {"z_1": 0.5}, kl_weight=1.0)
    tensor([-7.])

    :param weights: by the name of a site, latent or observed; 1 for any other.
    :param constraint: what the objective has in the KL's place.
    :raises UserError: for the name of no site, with the nearest that there is, and for the weight
        of a latent site beside a constraint.
    """
    sites = [*terms.kl, *terms.observed]
    for name in weights:
        if name not in sites:
            near = difflib.get_close_matches(name, sites, n=1, cutoff=0.0)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"site_weights names {name!r}, and the model's sites are "
                f"{', '.join(sites) or 'none'}{hint}"
            )
        if constraint is not None and name in terms.kl:
            raise UserError(
                f"site_weights weighs the KL of {name!r}, in whose place "
                f"{type(constraint).__name__} puts something else: leave one of them out"
            )
    total = torch.zeros_like(terms.log_likelihood)
    for name, log_prob in terms.observed.items():
        total = total + weights.get(name, 1.0) * log_prob
    for name, kl in terms.kl.items():
        total = total - kl_weight * weights.get(name, 1.0) * kl
    return total.mean(0)
