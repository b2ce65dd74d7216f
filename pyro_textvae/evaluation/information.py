# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How much the latents know of the sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from pyro_textvae.evaluation.batches import evaluation_mode, to_device
from pyro_textvae.infer.sites import latent_sites

ACTIVE_VARIANCE = 0.01
"""A unit is active when its posterior mean varies by more than this over the sentences."""

_ROWS_AT_ONCE = 1024
_PAIRS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Information:
    """What the latents carry, over all sentences of a split; nats.

    mutual_information
        I_N = E log q(z | x) - log (1/N) sum_n q(z | x_n) over the N sentences of the split and one
        draw for each: a lower bound of the mutual information under the corpus. None without a
        latent, or with more than one latent site.
    mutual_information_upper
        The same with each draw's own sentence left out of the mean: an upper bound.
    mutual_information_ceiling
        ln N: ``mutual_information`` cannot exceed it, whatever the truth.
    active_units
        Number of latent dimensions whose posterior mean has a variance above 0.01.
    unit_variance
        That variance for every dimension, sites one after the other.
    """

    mutual_information: float | None
    mutual_information_upper: float | None
    mutual_information_ceiling: float
    active_units: int
    unit_variance: Tensor
    num_sentences: int


def information(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    seed: int = 0,
) -> Information:
    """Mutual information on the whole split, with its ceiling, and active units.

    Source: Hoffman and Johnson (2016), ELBO surgery, for the aggregate over the full data set (a
    mini-batch of B sentences could not show more than ln B); Burda et al. (2016) for active units.
    """
    posteriors: dict[str, list[Any]] = {}
    draws: dict[str, list[Tensor]] = {}
    count = 0
    with evaluation_mode(model, guide, seed):
        for batch in batches:
            trace = poutine.trace(guide).get_trace(**to_device(batch, model))
            count += len(batch["tokens"])
            for name, site in latent_sites(trace):
                posteriors.setdefault(name, []).append(site["fn"])
                draws.setdefault(name, []).append(site["value"])
        if not count:
            raise ValueError("there is no batch to take the information of")
        variances = [_variance_of_means(fns) for fns in posteriors.values()]
        unit_variance = torch.cat(variances) if variances else torch.zeros(0)
        included = left_out = None
        if len(posteriors) == 1:
            (name,) = posteriors
            included, left_out = _mutual_information(posteriors[name], torch.cat(draws[name]))
    return Information(
        mutual_information=included,
        mutual_information_upper=left_out,
        mutual_information_ceiling=math.log(count),
        active_units=int((unit_variance > ACTIVE_VARIANCE).sum()),
        unit_variance=unit_variance,
        num_sentences=count,
    )


def posterior_mean(fn: Any) -> Tensor:
    """Mean of a posterior; of 100 draws where it has no formula, as for a flow."""
    try:
        return fn.mean
    except NotImplementedError:
        return fn.sample((100,)).mean(0)


def _variance_of_means(fns: list[Any]) -> Tensor:
    means = [posterior_mean(fn).double().cpu().reshape(*fn.batch_shape, -1) for fn in fns]
    return torch.cat(means).var(0, correction=0)


def _mutual_information(fns: list[Any], z: Tensor) -> tuple[float, float]:
    """I_N and its leave-one-out form, from the posterior and one draw of each sentence."""
    count = len(z)
    rows_at_once = max(1, min(_ROWS_AT_ONCE, _PAIRS_AT_ONCE // count))
    own, aggregate, others = [], [], []
    for start in range(0, count, rows_at_once):
        rows = z[start : start + rows_at_once]
        log_q = torch.cat([_pairwise_log_prob(fn, rows) for fn in fns], 1)  # (rows, N)
        itself = torch.arange(start, start + len(rows), device=log_q.device).unsqueeze(1)
        own.append(log_q.gather(1, itself).squeeze(1))
        aggregate.append(log_q.logsumexp(1) - math.log(count))
        others.append(
            log_q.scatter(1, itself, -torch.inf).logsumexp(1) - math.log(max(count - 1, 1))
        )
    log_own = torch.cat(own)
    return (
        (log_own - torch.cat(aggregate)).mean().item(),
        (log_own - torch.cat(others)).mean().item(),
    )


def _pairwise_log_prob(fn: Any, z: Tensor) -> Tensor:
    """log q(z_s | x_n) in float64, ``(S, N)``."""
    if isinstance(fn, Independent) and isinstance(fn.base_dist, Normal) and z.dim() == 2:
        # Squares multiplied out, by matrix products: in float32 they would cancel.
        loc, scale, z = fn.base_dist.loc.double(), fn.base_dist.scale.double(), z.double()
        precision = scale.square().reciprocal()
        square = (
            z.square() @ precision.T
            - 2 * z @ (precision * loc).T
            + (precision * loc.square()).sum(-1)
        )
        normaliser = scale.log().sum(-1) + 0.5 * loc.shape[-1] * math.log(2 * math.pi)
        return -0.5 * square - normaliser
    return fn.log_prob(z.unsqueeze(1)).double()
