# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gaussians around a guide's Gaussian posteriors, diagonal in each posterior's own units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from pyro_textvae.evaluation.families.family import (
    Family,
    effective_number,
    seeded_generators,
    tempered,
)
from pyro_textvae.evaluation.families.log_quadratic import log_quadratic_fit

_FARTHEST_UNITS = 1e6


class GaussianFamily(Family):
    """z = origin + scale_tril u with u ~ N(loc, diag(scale)^2); the guide itself is (0, 1).

    :param origin: the guide's mean, ``(N, D)``.
    :param scale_tril: the guide's scale, ``(N, D)`` where diagonal, else ``(N, D, D)``.
    :param loc: ``(N, D)``, in the guide's units.
    :param log_scale: ``(N, D)``, likewise.
    """

    def __init__(self, origin: Tensor, scale_tril: Tensor, loc: Tensor, log_scale: Tensor) -> None:
        self.origin = origin
        self.scale_tril = scale_tril
        self.loc = loc
        self.log_scale = log_scale

    @classmethod
    def of(cls, posterior: Any) -> GaussianFamily | None:
        """The family of a Gaussian: diagonal, of full covariance, or low rank plus diagonal.

        A value of several dimensions, such as a sequence of vectors ``(S, D)``, is one vector.
        """
        base, dims = posterior, len(posterior.batch_shape)
        if isinstance(posterior, Independent) and posterior.reinterpreted_batch_ndims:
            base = posterior.base_dist
        if isinstance(base, MultivariateNormal | LowRankMultivariateNormal):
            origin, scale_tril = base.loc, base.scale_tril
            if base is not posterior:
                scale_tril = _block_diagonal(scale_tril.flatten(dims, -3))
        elif base is not posterior and isinstance(base, Normal):
            origin, scale_tril = base.loc, base.scale.flatten(dims)
        else:
            return None
        origin = origin.flatten(dims)
        return cls(origin, scale_tril, torch.zeros_like(origin), torch.zeros_like(origin))

    @property
    def dim(self) -> int:
        """Number of dimensions of z."""
        return self.loc.shape[-1]

    def sample(
        self, count: int, seeds: Sequence[int], *, quasi_random: bool = False, paired: bool = False
    ) -> Tensor:
        """``(count, N, D)``; see :class:`Family`."""
        draw = _quasi_normal if quasi_random else _normal
        if paired:
            half = draw((count + 1) // 2, self.origin, seeds)
            noise = torch.stack([half, -half], 1).flatten(0, 1)[:count]
        else:
            noise = draw(count, self.origin, seeds)
        return self.from_own_units(noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """``(K, N)`` for ``z`` ``(K, N, D)``."""
        noise = self.in_own_units(z)
        constant = 0.5 * math.log(2 * math.pi)
        inside = -(0.5 * noise.square() + self.log_scale + constant).sum(-1)
        return inside - self._log_volume_of_guide()

    def from_own_units(self, noise: Tensor) -> Tensor:
        """Standard normal draws ``(K, N, D)`` as draws of this member."""
        u = self.loc + self.log_scale.exp() * noise
        if self.scale_tril.dim() == 2:
            return self.origin + self.scale_tril * u
        return self.origin + torch.einsum("nij,knj->kni", self.scale_tril, u)

    def in_own_units(self, z: Tensor) -> Tensor:
        """The inverse of :meth:`from_own_units`."""
        return (self._in_guide_units(z) - self.loc) * (-self.log_scale).exp()

    def gradient_in_own_units(self, gradient: Tensor) -> Tensor:
        """A gradient with respect to z as that with respect to own units, ``(K, N, D)``."""
        if self.scale_tril.dim() == 2:
            return self.log_scale.exp() * self.scale_tril * gradient
        return self.log_scale.exp() * torch.einsum("nij,kni->knj", self.scale_tril, gradient)

    def log_volume(self) -> Tensor:
        """Log of the determinant of the map from own units, ``(N,)``."""
        return self._log_volume_of_guide() + self.log_scale.sum(-1)

    def widened(self, factor: float) -> GaussianFamily:
        """The same with its scale multiplied by ``factor``."""
        return self._member([self.loc, self.log_scale + math.log(factor)])

    def fitted(self, z: Tensor, weights: Tensor, strength: float) -> GaussianFamily:
        """Mean and variances of the weighted draws, drawn towards this member's."""
        u = self._in_guide_units(z)
        weights = weights.to(u.dtype)
        number = effective_number(weights)
        mean = (weights.unsqueeze(-1) * u).sum(0)
        variance = (weights.unsqueeze(-1) * (u - mean).square()).sum(0)
        loc = (number * mean + strength * self.loc) / (number + strength)
        towards_this = (2 * self.log_scale).exp() + (self.loc - loc).square()
        variance = (number * (variance + (mean - loc).square()) + strength * towards_this) / (
            number + strength
        )
        return self._member([loc, 0.5 * variance.log()])

    def regressed(self, z: Tensor, log_joint: Tensor, log_weights: Tensor) -> GaussianFamily:
        """The Gaussian of full covariance whose log-density is closest to log p(x, z) at draws.

        A sixth of the draws are made to count at least, by tempering their weights.

        :param z: ``(K, N, D)``.
        :param log_joint: there, ``(K, N)``.
        :param log_weights: of the draws, ``(K, N)``.
        """
        u = self.in_own_units(z)
        # Of a posterior that is a point all draws but its own are infinitely far.
        possible = (u.abs().amax(-1) < _FARTHEST_UNITS) & log_joint.isfinite()
        u = u.where(possible.unsqueeze(-1), 0.0)
        shares = tempered(log_weights.double().where(possible, -torch.inf), len(z) / 6)
        log_ratio = (log_joint - self.log_prob(z)).where(possible, 0.0)
        loc, inner = log_quadratic_fit(u, log_ratio, shares.where(possible, 0.0))
        outer = self.scale_tril
        if outer.dim() == 2:
            outer = torch.diag_embed(outer)
        scale_tril = outer @ (self.log_scale.exp().unsqueeze(-1) * inner)
        origin = self.from_own_units(loc.unsqueeze(0)).squeeze(0)
        return GaussianFamily(origin, scale_tril, torch.zeros_like(loc), torch.zeros_like(loc))

    def variational(self) -> tuple[list[Tensor], Callable[[list[Tensor]], GaussianFamily]]:
        """Mean and log scale, in the guide's units."""
        return [self.loc, self.log_scale], self._member

    def rows(self, index: Tensor) -> GaussianFamily:
        """Those of some of the sentences."""
        parts = (self.origin, self.scale_tril, self.loc, self.log_scale)
        return GaussianFamily(*(part[index] for part in parts))

    def _log_volume_of_guide(self) -> Tensor:
        diagonal = self.scale_tril
        if diagonal.dim() == 3:
            diagonal = diagonal.diagonal(dim1=-2, dim2=-1)
        return diagonal.log().sum(-1)

    def _in_guide_units(self, z: Tensor) -> Tensor:
        shifted = z - self.origin
        if self.scale_tril.dim() == 2:
            return shifted / self.scale_tril
        # The draws are the columns of one system a sentence: no copy of its scale for each.
        columns = torch.linalg.solve_triangular(
            self.scale_tril, shifted.permute(1, 2, 0), upper=False
        )
        return columns.permute(2, 0, 1)

    def _member(self, parameters: list[Tensor]) -> GaussianFamily:
        return GaussianFamily(self.origin, self.scale_tril, *parameters)


def _block_diagonal(blocks: Tensor) -> Tensor:
    """Matrices ``(N, S, D, D)`` along the diagonal of one, ``(N, S D, S D)``."""
    size, num_blocks = blocks.shape[-1], blocks.shape[-3]
    joined = blocks.new_zeros(*blocks.shape[:-3], num_blocks, size, num_blocks, size)
    joined.diagonal(dim1=-4, dim2=-2).copy_(blocks.movedim(-3, -1))
    return joined.flatten(-2).flatten(-3, -2)


def _normal(count: int, like: Tensor, seeds: Sequence[int]) -> Tensor:
    shape = (count, like.shape[-1])
    options: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    generators = seeded_generators(seeds, like.device)
    return torch.stack([torch.randn(shape, generator=g, **options) for g in generators], 1)


def quasi_uniform(count: int, dim: int, seeds: Sequence[int], like: Tensor) -> Tensor:
    """A scrambled Sobol sequence, one scramble a sentence (Owen, 1995); ``(count, N, dim)``."""
    columns = []
    for seed in seeds:
        engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=seed % 2**31)
        columns.append(engine.draw(count, dtype=torch.float64))
    # The engine's grid is of 2**-30: half a step keeps it off 0, where the quantile is infinite.
    return torch.stack(columns, 1).to(like.device) * (1 - 2.0**-30) + 2.0**-31


def _quasi_normal(count: int, like: Tensor, seeds: Sequence[int]) -> Tensor:
    uniform = quasi_uniform(count, like.shape[-1], seeds, like)
    return torch.special.ndtri(uniform).to(like.dtype)
