# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What distributions of unit vectors around a mean direction have in common."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_textvae.distributions.shape import Shape


class RotationallySymmetric(TorchDistribution):
    """Unit vectors whose density depends on their angle to ``loc`` alone.

    ``batch_shape`` is that of ``loc`` without its last dimension, broadcast with ``concentration``;
    ``event_shape`` is ``(d,)``.

    :param loc: mean direction mu, unit vectors ``(*batch_shape, d)`` with d at least 2.
    :param concentration: kappa, ``batch_shape``.
    :raises ValueError: for shapes that do not fit; under validation, also for a ``loc`` that is not
        of unit norm and a ``concentration`` that is not finite, or outside of its constraint.
    """

    arg_constraints = {"loc": constraints.sphere, "concentration": constraints.positive}
    support = constraints.sphere
    has_rsample = True

    _rule: ClassVar[str] = "positive and finite"
    """What a concentration must be, in words."""

    def __init__(
        self, loc: Tensor, concentration: Tensor, *, validate_args: bool | None = None
    ) -> None:
        if loc.dim() < 1 or loc.shape[-1] < 2:
            raise ValueError(f"loc must have shape (..., d) with d >= 2, got {tuple(loc.shape)}")
        try:
            batch_shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
        except RuntimeError as error:
            raise ValueError(
                f"loc of shape {tuple(loc.shape)} and concentration of shape "
                f"{tuple(concentration.shape)} do not broadcast: concentration must have the shape "
                f"{tuple(loc.shape[:-1])} of loc without its last dimension"
            ) from error
        if self._validate_args if validate_args is None else validate_args:
            self._check_values(loc, concentration)
        self.loc = loc.expand(batch_shape + loc.shape[-1:])
        self.concentration = concentration.expand(batch_shape)
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Self | None = None) -> Self:
        """The same distribution over more rows; stays of its class, so that its KL is found."""
        new = self._get_checked_instance(type(self), _instance)
        batch_shape = torch.Size(batch_shape)
        new.loc = self.loc.expand(batch_shape + self.event_shape)
        new.concentration = self.concentration.expand(batch_shape)
        super(RotationallySymmetric, new).__init__(
            batch_shape, self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    @torch.no_grad()
    def _orthogonal_direction(self, shape: torch.Size) -> Tensor:
        """Unit vectors at right angles to ``loc``, every one alike."""
        across = self.loc.new_empty(shape).normal_()
        for _ in range(2):  # Once leaves the rounding error of a vector that was close to loc.
            across -= (across * self.loc).sum(-1, keepdim=True) * self.loc
        smallest = torch.finfo(across.dtype).tiny
        return across.div_(across.norm(dim=-1, keepdim=True).clamp_(min=smallest))

    @classmethod
    def _check_values(cls, loc: Tensor, concentration: Tensor) -> None:
        wrong = ~constraints.sphere.check(loc)
        if wrong.any():
            norm = loc.norm(dim=-1)[wrong][0].item()
            raise ValueError(f"loc must have unit norm, got norm {norm:.9g}: divide it by its norm")
        allowed = cls.arg_constraints["concentration"].check(concentration)
        wrong = ~(allowed & concentration.isfinite())
        if wrong.any():
            raise ValueError(
                f"concentration must be {cls._rule}, got {concentration[wrong][0].item()}: pass it "
                "through softplus"
            )


def check_same_sphere(p: TorchDistribution, q: TorchDistribution) -> None:
    """Refuse a KL between spheres of two dimensions."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"KL between spheres of {p.event_shape[0]} and {q.event_shape[0]} dimensions: they "
            "must be the same"
        )
