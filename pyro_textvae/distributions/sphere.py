# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The unit sphere: its area, its points, and the shortest way between two of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.distributions import constraints
from torch import Tensor


def log_surface_area(dim: int) -> float:
    """Log of the area of the unit sphere in ``dim`` dimensions, 2 pi^(d/2) / Gamma(d/2); nats.

    >>> round(math.exp(log_surface_area(2)) / math.pi, 4)
    2.0
    """
    return math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)


def lies_on_sphere(fn: Any) -> bool:
    """Whether the draws of a distribution are unit vectors, by its support.

    >>> from pyro_textvae.distributions import HypersphericalUniform
    >>> lies_on_sphere(HypersphericalUniform(3))
    True
    """
    try:
        support = fn.support
    except NotImplementedError:
        return False
    return isinstance(getattr(support, "base_constraint", support), type(constraints.sphere))


def unit_vector(vector: Tensor) -> Tensor:
    """``vector`` divided by its norm along the last dimension; same shape.

    Where the norm is below the rounding error of 1 there is no direction: there the result is the
    first axis, with no gradient, so that neither a value nor a gradient can be infinite.

    >>> unit_vector(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]])
    """
    norm = vector.norm(dim=-1, keepdim=True)
    usable = norm > torch.finfo(vector.dtype).eps
    axis = torch.zeros_like(vector)
    axis[..., 0] = 1.0
    return torch.where(usable, vector, axis) / torch.where(usable, norm, 1.0)


def great_circle(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Points on the shorter arc between two unit vectors ``(..., D)``.

    >>> start, end = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    >>> great_circle(start, end, torch.linspace(0, 1, 5)).shape
    torch.Size([5, 2])

    :param share: shares of the way, ``(S,)``: 0 is ``start``, 1 is ``end``; equal steps are equal
        angles.
    :returns: unit vectors ``(S, ..., D)``. Between opposite ends, where every arc is as short, one
        of the arcs.
    """
    # Exact for near and for opposite ends, where the inverse cosine of the product is not.
    angle = 2 * torch.atan2((end - start).norm(dim=-1), (end + start).norm(dim=-1))
    across = _orthogonal(start, end)
    angles = share.reshape(-1, *[1] * start.dim()) * angle.unsqueeze(-1)
    return unit_vector(angles.cos() * start + angles.sin() * across)


def _orthogonal(start: Tensor, end: Tensor) -> Tensor:
    """A unit vector at right angles to ``start``, towards ``end`` where that is a direction."""
    towards = _without(start, end)
    usable = towards.norm(dim=-1, keepdim=True) > 4 * torch.finfo(start.dtype).eps
    # The axis that start lies along least: never parallel to it.
    axis = torch.zeros_like(start).scatter(-1, start.abs().argmin(-1, keepdim=True), 1.0)
    across = unit_vector(torch.where(usable, towards, _without(start, axis)))
    # Once more: the ends of a small difference leave a part along start, of rounding errors.
    return unit_vector(_without(start, across))


def _without(direction: Tensor, vector: Tensor) -> Tensor:
    """``vector`` less its part along ``direction``."""
    return vector - (vector * direction).sum(-1, keepdim=True) * direction
