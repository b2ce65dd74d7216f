# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Mixtures of Gaussians, fitted to weighted draws of each sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.evaluation.families.family import (
    Family,
    effective_number,
    seeded_generators,
    tempered,
)
from pyro_textvae.evaluation.families.gaussian import GaussianFamily, quasi_uniform

_STEPS = 8
_FEWEST_EFFECTIVE = 8.0
_FARTHEST = 50.0
_SMALLEST_MASS = 1e-6
FARTHEST_UNITS = 1e6
"""Draws that are further from the base, in its units, say nothing of a fit."""


class GaussianMixtureFamily(Family):
    """z = origin + scale u with u from a mixture of C Gaussians; the ``base`` maps u to z.

    :param base: a Gaussian of each sentence, in whose units the components are.
    :param log_weights: ``(N, C)``, normalised.
    :param loc: ``(N, C, D)``.
    :param scale_tril: ``(N, C, D, D)``.
    """

    def __init__(
        self, base: GaussianFamily, log_weights: Tensor, loc: Tensor, scale_tril: Tensor
    ) -> None:
        self.base = base
        self.log_weights = log_weights
        self.loc = loc
        self.scale_tril = scale_tril

    @classmethod
    def of(cls, posterior: Any) -> None:
        """None: a guide's posterior is taken for what it is; mixtures are fitted to draws."""
        return

    @classmethod
    def fit(
        cls,
        base: GaussianFamily,
        z: Tensor,
        log_weights: Tensor,
        num_components: int,
        *,
        strength: float = 2.0,
    ) -> GaussianMixtureFamily:
        """The mixture by expectation maximisation on weighted draws.

        Where few draws have all the weight, the weights are tempered first, by the largest power
        that leaves an effective number of 8: the fit is then wide, around where the posterior is
        likely, and draws from it show more. The first component starts at the heaviest draw, each
        further one at the heaviest of those far from the ones before.

        Source: Cappe et al. (2008), Adaptive importance sampling in general mixture classes,
        https://arxiv.org/abs/0710.4242.

        :param z: ``(K, N, D)``.
        :param log_weights: of the draws, ``(K, N)``.
        :param strength: how many draws the base's own covariance counts for in each component.
        """
        u = base.in_own_units(z)
        # Of a base that is a point all draws but its own are infinitely far: they say nothing.
        near = u.abs().amax(-1) < FARTHEST_UNITS
        u = u.where(near.unsqueeze(-1), 0.0)
        shares = tempered(log_weights.to(u.dtype).where(near, -torch.inf), _FEWEST_EFFECTIVE)
        number = effective_number(shares)  # (N, 1)
        loc = far_apart(u, shares, num_components)
        count, dim = u.shape[1], u.shape[2]
        identity = torch.eye(dim, dtype=u.dtype, device=u.device)
        covariance = identity.expand(count, num_components, dim, dim)
        log_mix = u.new_full((count, num_components), -math.log(num_components))
        for _ in range(_STEPS):
            scale_tril = torch.linalg.cholesky(covariance)
            responsibility = (_log_probs(u, loc, scale_tril) + log_mix).softmax(-1)
            responsibility = responsibility * shares.unsqueeze(-1)  # (K, N, C)
            mass = responsibility.sum(0)
            tiny = torch.finfo(u.dtype).tiny
            sums = torch.einsum("knc,knd->ncd", responsibility, u)
            loc = torch.where(
                (mass > 1e-6).unsqueeze(-1), sums / mass.clamp(min=tiny)[..., None], loc
            )
            shifted = u.unsqueeze(2) - loc
            scatter = torch.einsum("knc,kncd,knce->ncde", responsibility, shifted, shifted)
            counted = (number * mass)[..., None, None]
            covariance = (number[..., None, None] * scatter + strength * identity) / (
                counted + strength
            )
            log_mix = (number * mass + 0.5).log() - (number + 0.5 * num_components).log()
        return cls(base, log_mix, loc, torch.linalg.cholesky(covariance))

    def with_component(self, gaussian: GaussianFamily, share: float) -> GaussianMixtureFamily:
        """The mixture with a share of another Gaussian of each sentence."""
        # Where its own zero and unit vectors are, in units of the base.
        zero = gaussian.loc.new_zeros(1, *gaussian.loc.shape)
        loc = self.base.in_own_units(gaussian.from_own_units(zero)).squeeze(0)
        unit = torch.eye(self.dim, dtype=loc.dtype, device=loc.device).unsqueeze(1)
        columns = self.base.in_own_units(gaussian.from_own_units(unit.expand(-1, *loc.shape)))
        scale_tril = (columns - loc).permute(1, 2, 0).tril()
        left = self.log_weights + math.log1p(-share)
        return GaussianMixtureFamily(
            self.base,
            torch.cat([left, torch.full_like(left[:, :1], math.log(share))], 1),
            torch.cat([self.loc, loc.unsqueeze(1)], 1),
            torch.cat([self.scale_tril, scale_tril.unsqueeze(1)], 1),
        )

    @property
    def dim(self) -> int:
        """Number of dimensions of z."""
        return self.loc.shape[-1]

    def sample(
        self, count: int, seeds: Sequence[int], *, quasi_random: bool = False, paired: bool = False
    ) -> Tensor:
        """``(count, N, D)``; see :class:`Family`. ``paired`` has no effect."""
        dim = self.loc.shape[-1]
        uniform = quasi_uniform if quasi_random else _uniform
        numbers = uniform(count, dim + 1, seeds, self.loc)
        noise = torch.special.ndtri(numbers[..., 1:]).to(self.loc.dtype)
        ends = self.log_weights.exp().cumsum(-1)[:, :-1].to(numbers.dtype)
        # Which component each draw is of, ``(K, N)``.
        chosen = (numbers[..., :1] > ends).sum(-1)
        rows = torch.arange(len(seeds), device=self.loc.device)
        loc, scale_tril = self.loc[rows, chosen], self.scale_tril[rows, chosen]
        return self.base.from_own_units(loc + torch.einsum("knde,kne->knd", scale_tril, noise))

    def log_prob(self, z: Tensor) -> Tensor:
        """``(K, N)`` for ``z`` ``(K, N, D)``."""
        u = self.base.in_own_units(z)
        inside = (_log_probs(u, self.loc, self.scale_tril) + self.log_weights).logsumexp(-1)
        return inside - self.base.log_volume()

    def widened(self, factor: float) -> GaussianMixtureFamily:
        """The same with every component's scale multiplied by ``factor``."""
        return GaussianMixtureFamily(
            self.base, self.log_weights, self.loc, self.scale_tril * factor
        )

    def fitted(self, z: Tensor, weights: Tensor, strength: float) -> GaussianMixtureFamily:
        """As many components, fitted to weighted draws."""
        count = self.log_weights.shape[-1]
        return self.fit(self.base, z, weights.log(), count, strength=strength)

    def variational(self) -> tuple[list[Tensor], Any]:
        """A mixture is fitted to draws, and not by gradients.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("a mixture is fitted to draws: refine its base instead")

    def rows(self, index: Tensor) -> GaussianMixtureFamily:
        """Those of some of the sentences."""
        parts = (self.log_weights, self.loc, self.scale_tril)
        return GaussianMixtureFamily(self.base.rows(index), *(part[index] for part in parts))


def _uniform(count: int, dim: int, seeds: Sequence[int], like: Tensor) -> Tensor:
    """Independent uniform draws, ``(count, N, dim)``, float64."""
    options: dict[str, Any] = {"dtype": torch.float64, "device": like.device}
    generators = seeded_generators(seeds, like.device)
    numbers = [torch.rand(count, dim, generator=g, **options) for g in generators]
    return torch.stack(numbers, 1).clamp(min=torch.finfo(torch.float64).tiny)


def far_apart(u: Tensor, shares: Tensor, count: int) -> Tensor:
    """Places to start from, ``(N, count, D)``: heavy draws, far from one another."""
    rows = torch.arange(u.shape[1], device=u.device)
    places = [u[shares.argmax(0), rows]]
    nearest = torch.full_like(shares, torch.inf)
    while len(places) < count:
        nearest = torch.minimum(nearest, (u - places[-1]).square().sum(-1))
        places.append(u[(shares * nearest.clamp(max=_FARTHEST)).argmax(0), rows])
    return torch.stack(places, 1)


def _log_probs(u: Tensor, loc: Tensor, scale_tril: Tensor) -> Tensor:
    """Log-density of every component at every draw, ``(K, N, C)``."""
    shifted = (u.unsqueeze(2) - loc).permute(1, 2, 3, 0)  # (N, C, D, K)
    noise = torch.linalg.solve_triangular(scale_tril, shifted, upper=False)
    log_volume = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = 0.5 * loc.shape[-1] * math.log(2 * math.pi)
    return -0.5 * noise.square().sum(2).permute(2, 0, 1) - log_volume - constant
