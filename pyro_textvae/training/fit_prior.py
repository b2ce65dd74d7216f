# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A prior fitted to draws of the aggregate posterior."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.priors import GaussianMixture

NUM_COMPONENTS = (1, 2, 5, 10, 20, 50)
"""Numbers of Gaussians that the held-out draws choose among, where none is given."""
RESTARTS = 3
"""Starts of expectation maximisation, of which the best is taken."""

_FEWEST_DRAWS_OF_A_COMPONENT = 10
_BATCH = 512
_LEARNING_RATE = 1e-2
_MOST_EPOCHS = 200
_PATIENCE = 10


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
    :param num_components: those that the held-out draws choose among.
    :raises UserError: for fewer than ten draws a component, and where scikit-learn is missing.
    """
    try:
        from sklearn.mixture import GaussianMixture as Fit
    except ImportError as error:
        raise UserError(
            "a mixture is fitted by scikit-learn, which is not installed: pip install "
            "'pyro-textvae[viz]'"
        ) from error
    most = len(draws) // _FEWEST_DRAWS_OF_A_COMPONENT
    possible = [number for number in num_components if number <= most]
    if not possible:
        raise UserError(
            f"{min(num_components)} components cannot be fitted to {len(draws)} draws: give fewer"
        )
    fits = {}
    for number in possible:
        fit = Fit(number, covariance_type="diag", n_init=RESTARTS, random_state=seed % 2**32)
        fits[number] = fit.fit(draws.double().cpu().numpy())
    unseen = held_out.double().cpu().numpy()
    scores = {number: float(fit.score(unseen)) for number, fit in fits.items()}
    best = max(scores, key=scores.__getitem__)
    prior = GaussianMixture(draws.shape[1], best)
    of_fit = {
        "logits": fits[best].weights_,
        "loc": fits[best].means_,
        "log_scale": fits[best].covariances_,
    }
    with torch.no_grad():
        for name, value in of_fit.items():
            tensor = torch.from_numpy(value)
            if name != "loc":
                tensor = tensor.log() / (2 if name == "log_scale" else 1)
            getattr(prior, name).copy_(tensor)
    return FittedPrior(prior, scores[best], scores if len(possible) > 1 else {})


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
