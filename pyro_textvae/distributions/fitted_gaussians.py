# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mixture of Gaussians fitted to points by expectation maximisation."""

from __future__ import annotations

from typing import Literal

import torch
from pyro.distributions import MultivariateNormal, Normal
from torch import Tensor

from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.errors import UserError


def fitted_gaussians(
    points: Tensor,
    num_components: int,
    covariance: Literal["full", "diag"],
    *,
    most_steps: int = 100,
    restarts: int = 1,
    seed: int = 0,
) -> Mixture:
    """The likeliest mixture of Gaussians of some points, in float64 on the CPU.

    >>> points = torch.cat([torch.randn(500, 2) - 4, torch.randn(500, 2) + 4])
    >>> fitted_gaussians(points, 2, "diag").components.mean.sign().sum(1).sort().values
    tensor([-2.,  2.], dtype=torch.float64)

    :param points: ``(N, D)``.
    :param covariance: of each component; ``"diag"`` with independent dimensions.
    :param restarts: starts, of which the best is taken.
    :raises UserError: where scikit-learn is missing.
    """
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise UserError(
            "a mixture is fitted by scikit-learn, which is not installed: pip install "
            "'pyro-textvae[viz]'"
        ) from error
    fit = GaussianMixture(
        num_components,
        covariance_type=covariance,
        max_iter=most_steps,
        n_init=restarts,
        random_state=seed % 2**32,
    ).fit(points.double().cpu().numpy())
    loc, spread = torch.from_numpy(fit.means_), torch.from_numpy(fit.covariances_)
    components = (
        MultivariateNormal(loc, spread)
        if covariance == "full"
        else Normal(loc, spread.sqrt()).to_event(1)
    )
    return Mixture(torch.from_numpy(fit.weights_).log(), components)
