# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A family that a guide's posterior over all latents is in, or is near."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from pyro_textvae.evaluation.families import Family, GaussianFamily
from pyro_textvae.evaluation.importance.components import (
    Component,
    FamilyComponent,
    GuideComponent,
)
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.infer.supports import support_of

_FEWEST_DRAWS = 256
_DRAWS_PER_DIMENSION = 8
_LARGEST_COVARIANCE = 64
"""Dimensions above which only variances are taken from draws."""
_SHRINKAGE = 0.02
_ROUNDING = 1e3


@dataclass(frozen=True)
class PosteriorFamily:
    """Where a proposal starts from, and the guide that it is made of.

    family
        Over all latents as one vector.
    guide
        The guide itself, which has a share of the draws.
    is_exact
        Whether the family's member is the guide's posterior; otherwise it is the Gaussian with the
        mean and the covariance of some of its draws.
    """

    family: Family
    guide: Component
    is_exact: bool

    @classmethod
    def of(cls, posteriors: Posteriors) -> PosteriorFamily | None:
        """The family of one latent of a known kind, or a Gaussian of any others of real numbers.

        Several whose posteriors are Gaussian and do not depend on each other are one Gaussian. What
        a flow or a mixture draws, and several that do depend, are near one.
        None for all else: discrete latents, spheres beside others, masks, plates inside
        ``"data"``, and guides that cannot score the draws of others.
        """
        vector = posteriors.vector
        if posteriors.family is not None:
            guide = FamilyComponent(vector, posteriors.family)
            return cls(posteriors.family, guide, is_exact=True)
        if not _are_real(posteriors):
            return None
        by_running = GuideComponent.of(posteriors)
        if by_running is None:
            return None
        dim = sum(shape.numel() for shape in vector.shapes.values())
        count = max(_FEWEST_DRAWS, _DRAWS_PER_DIMENSION * min(dim, _LARGEST_COVARIANCE))
        latents, log_q = posteriors.run(count, posteriors.seeds("family"))
        z = vector.joined(latents)
        if not z.isfinite().all():
            return None
        product = _product(posteriors)
        if product is not None and _agree(product.log_prob(z), log_q):
            return cls(product, FamilyComponent(vector, product), is_exact=True)
        return cls(_with_moments(z), by_running, is_exact=False)


def _are_real(posteriors: Posteriors) -> bool:
    if posteriors.is_masked or any(posteriors.inner_sizes.values()):
        return False
    return all(
        support_of(fn) == "Real" for pair in posteriors.distributions.values() for fn in pair
    )


def _product(posteriors: Posteriors) -> GaussianFamily | None:
    """The Gaussian of all sites, if none depends on another; None where one is no Gaussian."""
    families = [GaussianFamily.of(_as_vector(fn)) for fn, _ in posteriors.distributions.values()]
    parts = [family for family in families if family is not None]
    if len(parts) < len(families):
        return None
    return reduce(_beside, parts)


def _as_vector(fn: Any) -> Any:
    """A Gaussian number as a vector of one."""
    if isinstance(fn, Normal) and fn.event_shape == ():
        return Independent(Normal(fn.loc.unsqueeze(-1), fn.scale.unsqueeze(-1)), 1)
    return fn


def _beside(first: GaussianFamily, second: GaussianFamily) -> GaussianFamily:
    origin = torch.cat([first.origin, second.origin], -1)
    if first.scale_tril.dim() == second.scale_tril.dim() == 2:
        scale_tril = torch.cat([first.scale_tril, second.scale_tril], -1)
    else:
        blocks = [
            part if part.dim() == 3 else part.diag_embed()
            for part in (first.scale_tril, second.scale_tril)
        ]
        rows = [torch.block_diag(*pair) for pair in zip(*blocks, strict=True)]
        scale_tril = torch.stack(rows)
    zero = torch.zeros_like(origin)
    return GaussianFamily(origin, scale_tril, zero, zero)


def _agree(found: Tensor, expected: Tensor) -> bool:
    scale = expected.abs().clamp(min=1.0)
    return bool(
        ((found - expected).abs() <= _ROUNDING * torch.finfo(found.dtype).eps * scale).all()
    )


def _with_moments(z: Tensor) -> GaussianFamily:
    """The Gaussian with the moments of draws ``(K, N, D)``, its correlations a little smaller."""
    loc, scale = z.mean(0), z.std(0)
    # Of a point no scale is known, and any that is small next to its place will do.
    scale = scale.clamp(min=torch.finfo(z.dtype).eps ** 0.5)
    zero = torch.zeros_like(loc)
    if z.shape[-1] > _LARGEST_COVARIANCE:
        return GaussianFamily(loc, scale, zero, zero)
    unit = (z - loc) / scale
    correlation = torch.einsum("kni,knj->nij", unit, unit) / (len(z) - 1)
    identity = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    correlation = (1 - _SHRINKAGE) * correlation + _SHRINKAGE * identity
    scale_tril = scale.unsqueeze(-1) * torch.linalg.cholesky(correlation)
    return GaussianFamily(loc, scale_tril, zero, zero)
