# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The models of a cell's seeds as one model, whose latent is the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def mixture_of_seeds(log_px: Sequence[Tensor]) -> dict[str, float | None]:
    r"""What a latent buys that says which of S models a sentence is from, each with weight 1 / S.

    .. math::
        p(x) = \frac{1}{S} \sum_s p_s(x), \qquad
        I(s; x) = H\Big(\frac{1}{N} \sum_n p(s \mid x_n)\Big) - \frac{1}{N} \sum_n H(p(s \mid x_n))

    Both need the log-likelihoods alone, no model. The nll is at most the mean of those of the S
    models, whatever they are, and S - 1 more models are its price.

    >>> found = mixture_of_seeds([torch.tensor([-1.0, -3.0]), torch.tensor([-3.0, -1.0])])
    >>> round(found["nll_mixed"], 4), round(found["seed_information"], 4)
    (1.5662, 0.3278)

    :param log_px: for each model the log-likelihood (nats) of the same N sentences, ``(N,)``.
    :returns: ``nll_mixed`` and ``seed_information``, nats per sentence; None for fewer than two
        models, and where a sentence is impossible under one of them.
    """
    nothing: dict[str, float | None] = {"nll_mixed": None, "seed_information": None}
    if len(log_px) < 2:
        return nothing
    each = torch.stack([values.double() for values in log_px])
    if not each.isfinite().all():
        return nothing
    log_sum = each.logsumexp(0)
    of_seed = (each - log_sum).exp()
    entropy = torch.special.entr(of_seed).sum(0).mean()
    return {
        "nll_mixed": (math.log(len(each)) - log_sum).mean().item(),
        "seed_information": (torch.special.entr(of_seed.mean(1)).sum() - entropy).item(),
    }
