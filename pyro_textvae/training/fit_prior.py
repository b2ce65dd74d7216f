# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A prior fitted to draws of the aggregate posterior."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pyro_textvae.distributions.fitted_gaussians import fitted_gaussians
from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.errors import UserError
from pyro_textvae.priors import GaussianMixture

NUM_COMPONENTS = (1, 2, 5, 10, 20, 50, 100, 200, 400)
"""Numbers of Gaussians that the held-out draws choose among, where none is given."""
RESTARTS = 3
"""Starts of expectation maximisation, of which the best is taken."""

_MANY = 50
_RESTARTS_OF_MANY = 1
_FEWEST_DRAWS_OF_A_COMPONENT = 10
_AT_ONCE = 4096
_BATCH = 512
_LEARNING_RATE = 1e-2
_MOST_EPOCHS = 200
_PATIENCE = 10

T = TypeVar("T")


@dataclass(frozen=True)
class FittedPrior:
    """A prior, and how well it fits draws that it has not seen.

    log_density
        Mean log-density of the held-out draws under it, nats.
    tried
        The same of every number of components that was tried; empty where there was no choice.
    """

    prior: nn.Module
    log_density: float
    tried: dict[int, float]


def fit_mixture(
    draws: Tensor,
    held_out: Tensor,
    num_components: Sequence[int] = NUM_COMPONENTS,
    *,
    seed: int = 0,
) -> FittedPrior:
    r"""A mixture of diagonal Gaussians by expectation maximisation, of the best number of them.

    .. math::
        \max_{\pi, \mu, \sigma} \frac 1 N \sum_n
        \log \sum_c \pi_c \, \mathcal N(z_n; \mu_c, \operatorname{diag} \sigma_c^2)

    >>> z = torch.cat([torch.randn(500, 2) - 4, torch.randn(500, 2) + 4])
    >>> fitted = fit_mixture(z, z + 0.1 * torch.randn(1000, 2), [1, 2])
    >>> fitted.prior.num_components
    2

    :param draws, held_out: ``(N, D)``.
    :param num_components: those that the held-out draws choose among; those above 50, which take
        long and have one start, are tried while each is better than all before it.
    :raises UserError: for fewer than ten draws a component, and where scikit-learn is missing.
    """
    unseen = held_out.double().cpu()

    def fit(number: int) -> tuple[float, Mixture]:
        restarts = _RESTARTS_OF_MANY if number > _MANY else RESTARTS
        mixture = fitted_gaussians(draws, number, "diag", restarts=restarts, seed=seed)
        parts = [mixture.log_prob(part) for part in unseen.split(_AT_ONCE)]
        return float(torch.cat(parts).mean()), mixture

    possible = possible_numbers(num_components, len(draws))
    best, mixture, scores = best_number(possible, fit)
    prior = GaussianMixture(draws.shape[1], best)
    set_mixture(prior, mixture)
    return FittedPrior(prior, scores[best], scores if len(possible) > 1 else {})


def best_number(
    numbers: Sequence[int], fit: Callable[[int], tuple[float, T]]
) -> tuple[int, T, dict[int, float]]:
    """The number of components of the highest score, its fit, and the score of each that is tried.

    Above 50 a number is tried only while the one before it is the best.

    >>> best_number([1, 50, 100, 200, 400], lambda number: (-abs(number - 90), "fit"))
    (100, 'fit', {1: -89, 50: -40, 100: -10, 200: -110})

    :param fit: takes a number, and returns its score, the more the better, with what was fitted.
    """
    scores: dict[int, float] = {}
    fits: dict[int, T] = {}
    best = last = 0
    for number in sorted(numbers):
        if number > _MANY and last != best:
            break
        last = number
        scores[number], fits[number] = fit(number)
        best = max(scores, key=scores.__getitem__)
    return best, fits[best], scores


def possible_numbers(num_components: Sequence[int], num_draws: int) -> list[int]:
    """Those numbers of components that so many draws are enough for, ten to each.

    :raises UserError: where they are enough for none.
    """
    most = num_draws // _FEWEST_DRAWS_OF_A_COMPONENT
    possible = [number for number in num_components if number <= most]
    if not possible:
        raise UserError(
            f"{min(num_components)} components cannot be fitted to {num_draws} draws: give fewer"
        )
    return possible


def set_mixture(prior: GaussianMixture, mixture: Mixture) -> None:
    """Give a prior the weights, locations and scales of a mixture of diagonal Gaussians."""
    components = mixture.components.base_dist
    with torch.no_grad():
        prior.logits.copy_(mixture.log_weights)
        prior.loc.copy_(components.loc)
        prior.log_scale.copy_(components.scale.log())


def fit_by_gradient(
    prior: nn.Module, draws: Tensor, held_out: Tensor, *, seed: int = 0
) -> FittedPrior:
    """A prior of any family by Adam on the log-density of draws, stopped by the held-out ones.

    :param prior: is trained as it stands; called with nothing, it returns the distribution.
    :param draws, held_out: ``(N, D)``.
    :raises UserError: for a prior that has nothing to be learned.
    """
    parameters = [parameter for parameter in prior.parameters() if parameter.requires_grad]
    if not parameters:
        raise UserError(f"{type(prior).__name__} has nothing to be fitted: choose another --prior")
    optimizer = torch.optim.Adam(parameters, _LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    best, weights, waited = _mean_log_prob(prior, held_out), copy.deepcopy(prior.state_dict()), 0
    for _ in range(_MOST_EPOCHS):
        for rows in torch.randperm(len(draws), generator=generator).split(_BATCH):
            optimizer.zero_grad()
            (-_log_prob(prior, draws[rows]).mean()).backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
        score, waited = _mean_log_prob(prior, held_out), waited + 1
        if score > best:
            best, weights, waited = score, copy.deepcopy(prior.state_dict()), 0
        if waited >= _PATIENCE:
            break
    prior.load_state_dict(weights)
    return FittedPrior(prior, best, {})


def _log_prob(prior: Any, draws: Tensor) -> Tensor:
    return prior().log_prob(draws)


@torch.no_grad()
def _mean_log_prob(prior: nn.Module, draws: Tensor) -> float:
    return float(_log_prob(prior, draws).mean())
