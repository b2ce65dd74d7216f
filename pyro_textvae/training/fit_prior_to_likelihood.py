# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A prior fitted to the likelihood of sentences, by Monte Carlo EM with the decoder fixed."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.evaluation.posterior_draws import PosteriorDraws
from pyro_textvae.priors import GaussianMixture
from pyro_textvae.training.fit_prior import (
    NUM_COMPONENTS,
    FittedPrior,
    best_number,
    fit_by_gradient,
    fit_mixture,
    possible_numbers,
    set_mixture,
)

RESAMPLED = 5
"""Draws of equal weight of each sentence, that the first prior is fitted to."""

_MOST_STEPS = 100
_SMALLEST_GAIN = 1e-5
_SMALLEST_VARIANCE = 1e-6
_MOST_EPOCHS = 100
_PATIENCE = 10
_SENTENCES = 64
_LEARNING_RATE = 3e-3
_ROWS = 2**16


@dataclass(frozen=True)
class FittedToLikelihood:
    """A prior, and what it does to the estimates of log p(x) that it was fitted by.

    fitted
        The prior; its ``log_density``, and those of the numbers of components that were tried, are
        the mean estimates of log p(x) of held-out sentences, nats.
    log_px
        The mean estimate for the sentences that it is fitted to, before the first step and after
        each; nats.
    """

    fitted: FittedPrior
    log_px: tuple[float, ...]


def fit_mixture_to_likelihood(
    draws: PosteriorDraws,
    held_out: PosteriorDraws,
    num_components: Sequence[int] = NUM_COMPONENTS,
    *,
    start: GaussianMixture | None = None,
    seed: int = 0,
) -> FittedToLikelihood:
    r"""A mixture of diagonal Gaussians by EM on the estimate of log p(x) that the draws make.

    .. math::
        \frac 1 N \sum_n \log \frac 1 K \sum_k \frac{p(x_n \mid z_{nk})}{r(z_{nk})}
        \sum_c \pi_c \, \mathcal N(z_{nk}; \mu_c, \operatorname{diag} \sigma_c^2)

    The draws stay, and are weighed anew under the present prior in each step, which cannot lower
    that estimate. The first mixture is fitted to draws of the posterior under the prior that they
    were drawn with.

    >>> z = torch.randn(20, 300, 2) + 3
    >>> zeros = torch.zeros(20, 300)
    >>> draws = PosteriorDraws(z, zeros, zeros)
    >>> fit_mixture_to_likelihood(draws, draws, [1]).fitted.prior.loc.mean().round().item()
    3.0

    Source: Wei and Tanner (1990), A Monte Carlo Implementation of the EM Algorithm,
    https://doi.org/10.1080/01621459.1990.10474930.

    :param held_out: of other sentences, which choose the number of components.
    :param start: where EM begins instead; its number of components stays.
    :raises UserError: for fewer than ten draws a component, and where scikit-learn is missing.
    """
    generator = torch.Generator().manual_seed(seed)
    points = draws.resampled(RESAMPLED, generator)

    def fit(number: int) -> tuple[float, tuple[Mixture, list[float]]]:
        first = start or fit_mixture(points, points, [number], seed=seed).prior
        assert isinstance(first, GaussianMixture)
        mixture, log_px = _by_em(draws, first)
        score = float(held_out.log_px(_log_prob(mixture, held_out.z)).mean())
        return score, (mixture, log_px)

    numbers = [start.num_components] if start else possible_numbers(num_components, len(points))
    best, (mixture, log_px), tried = best_number(numbers, fit)
    prior = GaussianMixture(draws.z.shape[-1], best)
    set_mixture(prior, mixture)
    before = float(draws.log_px(draws.log_prior).mean())
    fitted = FittedPrior(prior, tried[best], tried if len(tried) > 1 else {})
    return FittedToLikelihood(fitted, (before, *log_px))


def fit_to_likelihood_by_gradient(
    prior: nn.Module,
    draws: PosteriorDraws,
    held_out: PosteriorDraws,
    *,
    go_on: bool = False,
    seed: int = 0,
) -> FittedToLikelihood:
    """A prior of any family by Adam on the same estimate, stopped by the held-out sentences.

    The gradient is that of the expectation of EM: each draw counts by its weight under the present
    prior. Weights that lower the estimate of the sentences that they are fitted to are not kept.

    :param prior: is trained as it stands; called with nothing, it returns the distribution.
    :param go_on: from where the prior is; else it is first fitted to draws of the posterior.
    :raises UserError: for a prior that has nothing to be learned.
    """
    generator = torch.Generator().manual_seed(seed)
    if not go_on:
        points, unseen = (each.resampled(RESAMPLED, generator) for each in (draws, held_out))
        fit_by_gradient(prior, points, unseen, seed=seed)
    parameters = [parameter for parameter in prior.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, _LEARNING_RATE)
    trace = [float(draws.log_px(draws.log_prior).mean()), _mean_log_px(prior, draws)]
    best, weights, waited = _mean_log_px(prior, held_out), copy.deepcopy(prior.state_dict()), 0
    for _ in range(_MOST_EPOCHS):
        for rows in torch.randperm(draws.z.shape[1], generator=generator).split(_SENTENCES):
            optimizer.zero_grad()
            log_prior = prior().log_prob(draws.z[:, rows])
            log_weights = draws.log_ratio[:, rows] + log_prior
            (-log_weights.logsumexp(0).mean()).backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
        score, log_px, waited = (
            _mean_log_px(prior, held_out),
            _mean_log_px(prior, draws),
            waited + 1,
        )
        if score > best and log_px >= trace[-1]:
            best, weights, waited = score, copy.deepcopy(prior.state_dict()), 0
            trace.append(log_px)
        if waited >= _PATIENCE:
            break
    prior.load_state_dict(weights)
    return FittedToLikelihood(FittedPrior(prior, best, {}), tuple(trace))


def _by_em(draws: PosteriorDraws, first: GaussianMixture) -> tuple[Mixture, list[float]]:
    """The mixture where EM ends, and the mean estimate of log p(x) under each on the way."""
    z = draws.z.double().flatten(0, 1)
    mixture, trace = _of(first), list[float]()
    while True:
        log_joint = torch.cat([_log_joint(mixture, part) for part in z.split(_ROWS)])
        log_prior = log_joint.logsumexp(1).view(draws.log_ratio.shape)
        trace.append(float(draws.log_px(log_prior).mean()))
        if len(trace) > _MOST_STEPS or (len(trace) > 1 and trace[-1] - trace[-2] < _SMALLEST_GAIN):
            return mixture, trace
        weights = (draws.log_ratio + log_prior).softmax(0) / draws.z.shape[1]
        shares = log_joint.softmax(1) * weights.flatten().unsqueeze(1)
        mixture = _likeliest(z, shares)


def _likeliest(z: Tensor, shares: Tensor) -> Mixture:
    """The mixture of points with these shares ``(M, C)`` in its components."""
    mass = shares.sum(0).clamp_min(1e-300)
    loc = shares.T @ z / mass.unsqueeze(1)
    second = shares.T @ z.square() / mass.unsqueeze(1)
    variance = (second - loc.square()).clamp_min(_SMALLEST_VARIANCE)
    return _mixture(mass.log(), loc, variance.sqrt())


def _mixture(logits: Tensor, loc: Tensor, scale: Tensor) -> Mixture:
    return Mixture(
        logits, torch.distributions.Independent(torch.distributions.Normal(loc, scale), 1)
    )


def _of(prior: GaussianMixture) -> Mixture:
    return _mixture(
        prior.logits.detach().double(),
        prior.loc.detach().double(),
        prior.log_scale.detach().double().exp(),
    )


def _log_joint(mixture: Mixture, z: Tensor) -> Tensor:
    """log of weight times density of each component, ``(M, C)``, without a copy of z for each."""
    loc, scale = mixture.components.base_dist.loc, mixture.components.base_dist.scale
    precision = scale.square().reciprocal()
    squares = z.square() @ precision.T - 2 * z @ (loc * precision).T
    constant = (loc.square() * precision).sum(1) + 2 * scale.log().sum(1)
    constant += z.shape[1] * math.log(2 * math.pi)
    return mixture.log_weights - (squares + constant) / 2


def _log_prob(mixture: Mixture, z: Tensor) -> Tensor:
    """``(K, N)`` of draws ``(K, N, D)``."""
    flat = z.double().flatten(0, 1).split(_ROWS)
    return torch.cat([_log_joint(mixture, part).logsumexp(1) for part in flat]).view(z.shape[:2])


@torch.no_grad()
def _mean_log_px(prior: Any, draws: PosteriorDraws) -> float:
    return float(draws.log_px(prior().log_prob(draws.z).double()).mean())
