# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Distributions around a mean direction on the sphere, of whatever kind the guide's are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.evaluation.families.family import Family, effective_number
from pyro_textvae.infer.running import seed_generator

_LARGEST_CONCENTRATION = 1e6
_SMALLEST_CONCENTRATION = 1 / _LARGEST_CONCENTRATION


class SphericalFamily(Family):
    """Distributions that are made from a unit vector ``loc`` and a ``concentration``.

    :param kind: the class of the guide's posteriors.
    :param loc: ``(N, D)``, unit vectors.
    :param concentration: ``(N,)``, not negative.
    """

    def __init__(self, kind: type, loc: Tensor, concentration: Tensor) -> None:
        self.kind = kind
        self.loc = loc
        self.concentration = concentration

    @classmethod
    def of(cls, posterior: Any) -> SphericalFamily | None:
        """The family of a posterior with ``loc``, ``concentration``, and draws on the sphere."""
        loc = getattr(posterior, "loc", None)
        concentration = getattr(posterior, "concentration", None)
        if not (isinstance(loc, Tensor) and isinstance(concentration, Tensor)):
            return None
        shape = posterior.batch_shape
        if len(posterior.event_shape) != 1 or concentration.shape != shape:
            return None
        if not torch.allclose(loc.norm(dim=-1), loc.new_ones(()), atol=1e-4):
            return None
        return cls(type(posterior), loc.expand(shape + posterior.event_shape), concentration)

    @property
    def dim(self) -> int:
        """Number of dimensions of z."""
        return self.loc.shape[-1]

    def sample(
        self, count: int, seeds: Sequence[int], *, quasi_random: bool = False, paired: bool = False
    ) -> Tensor:
        """``(count, N, D)``; see :class:`Family`. ``paired`` has no effect.

        :raises ValueError: for ``quasi_random``: a sampler that rejects breaks the sequence.
        """
        if quasi_random:
            raise ValueError(
                "quasi-random draws need a Gaussian posterior, and the guide's is spherical: leave "
                "quasi_random off"
            )
        columns = []
        for row, seed in enumerate(seeds):
            seed_generator(seed, self.loc.device)
            member = self.kind(self.loc[row], self.concentration[row])
            draw = member.rsample if torch.is_grad_enabled() else member.sample
            columns.append(draw((count,)))
        return torch.stack(columns, 1)

    def log_prob(self, z: Tensor) -> Tensor:
        """``(K, N)`` for ``z`` ``(K, N, D)``."""
        return self.kind(self.loc, self.concentration).log_prob(z)

    def widened(self, factor: float) -> SphericalFamily:
        """The same with its concentration, an inverse variance, divided by ``factor`` squared."""
        return SphericalFamily(self.kind, self.loc, self.concentration / factor**2)

    def fitted(self, z: Tensor, weights: Tensor, strength: float) -> SphericalFamily:
        """Direction and length of the weighted draws' mean, drawn towards this member's."""
        weights = weights.to(z.dtype)
        number = effective_number(weights)
        mean = (weights.unsqueeze(-1) * z).sum(0)
        mean_here = self.kind(self.loc, self.concentration).mean
        mean = (number * mean + strength * mean_here) / (number + strength)
        length = mean.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(z.dtype).tiny)
        loc = mean / length
        return SphericalFamily(self.kind, loc, self._concentration_of(loc, length.squeeze(-1)))

    def variational(self) -> tuple[list[Tensor], Callable[[list[Tensor]], SphericalFamily]]:
        """A step off the mean direction in units of the spread, and the log of the concentration.

        The log counts double: a step of 1 multiplies the spread by e, as for a Gaussian.
        """
        # No spread is wider than the sphere.
        unit = self.concentration.clamp(min=1.0).rsqrt().unsqueeze(-1)
        log_concentration_here = self.concentration.clamp(min=_SMALLEST_CONCENTRATION).log()

        def member(parameters: list[Tensor]) -> SphericalFamily:
            step, log_scale = parameters
            loc = torch.nn.functional.normalize(self.loc + unit * step, dim=-1)
            largest = math.log(_LARGEST_CONCENTRATION)
            log_concentration = log_concentration_here - 2 * log_scale
            return SphericalFamily(self.kind, loc, log_concentration.clamp(max=largest).exp())

        return [torch.zeros_like(self.loc), torch.zeros_like(self.concentration)], member

    def rows(self, index: Tensor) -> SphericalFamily:
        """Those of some of the sentences."""
        return SphericalFamily(self.kind, self.loc[index], self.concentration[index])

    def _concentration_of(self, loc: Tensor, length: Tensor) -> Tensor:
        """The concentration whose mean has this length, by bisection; the length grows with it."""
        low = torch.full_like(length, -math.log(_LARGEST_CONCENTRATION))
        high = -low
        for _ in range(40):
            middle = 0.5 * (low + high)
            too_short = self.kind(loc, middle.exp()).mean.norm(dim=-1) < length
            low, high = torch.where(too_short, middle, low), torch.where(too_short, high, middle)
        return (0.5 * (low + high)).exp()
