# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""InfoVAE: part of the KL given up for the distance of the aggregate posterior to the prior."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.latent_site import LatentSite
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.shared_batch import size_of_batch, whole_batch

Kernel = Literal["inverse_multiquadratic", "gaussian"]


class MaximumMeanDiscrepancy(KLConstraint):
    r"""InfoVAE: part of the KL given up for the distance of the aggregate posterior to the prior.

    .. math::
        C_n = (1 - \alpha) \, \mathrm{KL}_n + (\alpha + \text{weight} - 1) \,
        \mathrm{MMD}^2(q(z), p(z))

    q(z) is the aggregate posterior. MMD^2 is the unbiased estimate, which may be negative, between
    the guide's draws for the sentences of the batch and as many of the prior; each particle is one
    such set, for draws of one sentence are not independent, and the estimates are averaged. Every
    sentence has this one number. Several latent sites are summed: each is compared with the prior
    that the model gives it at the guide's draws of the sites before. A batch of one sentence has no
    estimate, and counts as 0. The prior's own parameters are not trained by it.

    The kernels of draws at a distance r are 2 h^2 / (2 h^2 + r^2) and exp(-r^2 / (2 h^2)), h being
    the bandwidth. Without one, 2 h^2 is the mean squared distance between two of the prior's draws,
    which for a standard normal in D dimensions is about 2 D, as Tolstikhin et al. have it.

    Source: Zhao et al. (2019), https://arxiv.org/abs/1706.02262, with this discrepancy;
    Gretton et al. (2012), lemma 6, https://jmlr.org/papers/v13/gretton12a.html, for the estimate;
    Tolstikhin et al. (2018), https://arxiv.org/abs/1711.01558, for the kernel and its scale.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> from pyro_textvae.infer import BetaELBO
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z.squeeze(-1), 1.0), obs=tokens)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(torch.full((len(tokens), 1), 9.0), 1.0).to_event(1))
    >>> terms = BetaELBO().terms(model, guide, tokens=torch.zeros(100))
    >>> terms.total_kl[0, 0]
    tensor(40.5000)
    >>> bool(1 < MaximumMeanDiscrepancy(weight=1.0, alpha=1.0)(terms)[0] < 2)
    True

    :param weight: lambda, at least 1 - alpha. MMD^2 is below 2, so weights are large: with
        sentences of 100 nats, 100 to 1000.
    :param alpha: share of the KL that is given up, at most 1.
    :param kernel: its tails are heavy with inverse_multiquadratic, so that draws far from the prior
        have a gradient too; light with gaussian.
    :param bandwidth: h, the same for all sites.
    :raises ValueError: for a number out of its range, or another kernel.
    """

    needs_gradient_through_draws = True
    is_of_whole_batch = True

    def __init__(
        self,
        weight: float,
        alpha: float = 0.0,
        kernel: Kernel = "inverse_multiquadratic",
        bandwidth: float | None = None,
    ) -> None:
        if not (math.isfinite(alpha) and alpha <= 1):
            raise ValueError(f"alpha must be finite and at most 1, got {alpha}")
        if checked_amount("weight", weight) < 1 - alpha:
            raise ValueError(f"weight must be at least 1 - alpha = {1 - alpha}, got {weight}")
        if kernel not in get_args(Kernel):
            raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))}, got {kernel!r}")
        if bandwidth is not None and not (math.isfinite(bandwidth) and bandwidth > 0):
            raise ValueError(f"bandwidth must be finite and positive, got {bandwidth}")
        self.weight = weight
        self.alpha = alpha
        self.kernel: Kernel = kernel
        self.bandwidth = bandwidth

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        count = terms.log_likelihood.shape[1]
        discrepancy = torch.zeros_like(terms.log_likelihood[0, 0])
        for sites in terms.passes:
            for site in sites if size_of_batch(count) > 1 else ():
                discrepancy = discrepancy + self._discrepancy(site, count) / len(terms.passes)
        kl = terms.total_kl.mean(0)
        return (1 - self.alpha) * kl + (self.alpha + self.weight - 1) * discrepancy

    def _discrepancy(self, site: LatentSite, count: int) -> Tensor:
        size = site.posterior.event_shape.numel()
        draws = whole_batch(site.draw.reshape(-1, count, size), 1)
        of_prior = whole_batch(site.prior.sample().reshape(-1, count, size), 1).expand_as(draws)
        return squared_discrepancy(draws, of_prior, self.kernel, self.bandwidth).mean()


def squared_discrepancy(
    draws: Tensor, of_prior: Tensor, kernel: Kernel, bandwidth: float | None = None
) -> Tensor:
    r"""Unbiased MMD^2 between sets of N draws each, ``(K, N, D)`` and ``(K, N, D)`` to ``(K,)``.

    .. math::
        \frac{1}{N (N - 1)} \sum_{i \ne j} \big( k(z_i, z_j) + k(z'_i, z'_j) \big)
        - \frac{2}{N^2} \sum_{i, j} k(z_i, z'_j)

    >>> near, far = torch.zeros(1, 5, 2), torch.full((1, 5, 2), 1e6)
    >>> squared_discrepancy(far, near, "gaussian", bandwidth=1.0)
    tensor([2.])

    :param bandwidth: by default from the mean squared distance between the draws of the prior.
    """
    others = _squared_distances(of_prior, of_prior)
    pairs = others.shape[-1] * (others.shape[-1] - 1)
    if bandwidth is None:
        width = others.sum((-2, -1), keepdim=True) / pairs
    else:
        width = torch.full_like(others[:, :1, :1], 2 * bandwidth**2)

    def kernels(squared: Tensor) -> Tensor:
        if kernel == "gaussian":
            return (-squared / width).exp()
        return width / (width + squared)

    within = kernels(_squared_distances(draws, draws)) + kernels(others)
    # Of a draw and itself: 1 with either kernel.
    without_itself = (within.sum((-2, -1)) - 2 * within.shape[-1]) / pairs
    return without_itself - 2 * kernels(_squared_distances(draws, of_prior)).mean((-2, -1))


def _squared_distances(rows: Tensor, columns: Tensor) -> Tensor:
    return (rows.unsqueeze(-2) - columns.unsqueeze(-3)).square().sum(-1)
