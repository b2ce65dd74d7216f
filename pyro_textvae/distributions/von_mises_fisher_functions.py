# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
r"""Special functions of the von Mises-Fisher distribution, right in value and derivatives.

Everything follows from the cumulant generating function of the cosine w = mu . z under the uniform
distribution over the sphere in d dimensions, and from its derivatives by the concentration k:

.. math::
    F(k) = \log E[e^{k w}] = \log {}_0F_1(; d/2; k^2/4), \qquad
    F' = A = E_k[w] = I_{d/2}(k) / I_{d/2-1}(k), \qquad F'' = A' = Var_k[w].

The concentrations are float64 tensors of any shape, 0 included; results have the same shape. Power
series up to 30, log-Debye expansion above, elementwise, with nothing fetched from the device. Each
backward is a function of the same kind, so that derivatives are as exact as values, of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.distributions.quadrature import gauss_legendre
from pyro_textvae.distributions.tracked_function import TrackedFunction
from pyro_textvae.distributions.von_mises_fisher_debye import DebyeExpansion
from pyro_textvae.distributions.von_mises_fisher_series import LARGEST, PowerSeries

OfConcentration = Callable[[Tensor, int], Tensor]
"""A function of concentrations and of the dimensions of the space around the sphere."""


def cumulant(concentration: Tensor, dim: int) -> Tensor:
    """F(k): log of the mean of exp(k cosine) under the uniform; nats."""
    return _WithSlope.apply(concentration, dim, "cumulant", mean_length)


def scaled_cumulant(concentration: Tensor, dim: int) -> Tensor:
    """F(k) - k, which keeps its digits where F(k) is about k; nats."""
    return _WithSlope.apply(
        concentration, dim, "scaled_cumulant", lambda k, d: -mean_distance(k, d)
    )


def mean_length(concentration: Tensor, dim: int) -> Tensor:
    """A(k): the mean of the cosine, which is the length of the mean of z; in [0, 1]."""
    return _WithSlope.apply(concentration, dim, "mean_length", cosine_variance)


def mean_distance(concentration: Tensor, dim: int) -> Tensor:
    """1 - A(k), which keeps its digits where A(k) is about 1."""
    return _WithSlope.apply(
        concentration, dim, "mean_distance", lambda k, d: -cosine_variance(k, d)
    )


def cosine_variance(concentration: Tensor, dim: int) -> Tensor:
    """A'(k): the variance of the cosine."""
    # Its own derivative is that of the expansions, term by term.
    return _expand("cosine_variance", concentration, dim)


def divergence_from_uniform(concentration: Tensor, dim: int) -> Tensor:
    """k A(k) - F(k): the KL divergence from the uniform distribution; nats."""
    return _WithSlope.apply(
        concentration, dim, "divergence", lambda k, d: k * cosine_variance(k, d)
    )


def divergence_of_concentrations(k_p: Tensor, k_q: Tensor, dim: int) -> Tensor:
    """KL(p, q) between distributions of one mean direction; nats.

    F(k_q) - F(k_p) - A(k_p) (k_q - k_p): Bregman's divergence of F, second order in the
    difference, which is taken as an integral where the terms would cancel.
    """
    return _WithSlopes.apply(*torch.broadcast_tensors(k_p, k_q), dim, _bregman, _bregman_slopes)


def mean_length_difference(k_p: Tensor, k_q: Tensor, dim: int) -> Tensor:
    """A(k_q) - A(k_p), without cancellation."""
    return _WithSlopes.apply(
        *torch.broadcast_tensors(k_p, k_q),
        dim,
        _difference,
        lambda a, b, d: (-cosine_variance(a, d), cosine_variance(b, d)),
    )


class _WithSlope(TrackedFunction):
    """A quantity of the expansions and the function that is its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(concentration: Tensor, dim: int, quantity: str, slope: OfConcentration) -> Tensor:
        return _expand(quantity, concentration, dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        concentration, ctx.dim, _, ctx.slope = inputs
        ctx.save_for_backward(concentration)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (concentration,) = ctx.saved_tensors
        return grad * ctx.slope(concentration, ctx.dim), None, None, None


class _WithSlopes(TrackedFunction):
    """A function of two concentrations and the one that gives both derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        k_p: Tensor,
        k_q: Tensor,
        dim: int,
        value: Callable[[Tensor, Tensor, int], Tensor],
        slopes: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]],
    ) -> Tensor:
        return value(k_p, k_q, dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        k_p, k_q, ctx.dim, _, ctx.slopes = inputs
        ctx.save_for_backward(k_p, k_q)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        by_p, by_q = ctx.slopes(*ctx.saved_tensors, ctx.dim)
        return grad * by_p, grad * by_q, None, None, None


def _expand(quantity: str, concentration: Tensor, dim: int) -> Tensor:
    """A quantity by the expansion that is right there."""
    small = concentration <= LARGEST
    # Either gets numbers that it can take, so that the one not chosen has no infinite derivative.
    near = PowerSeries(torch.where(small, concentration, 0.0), dim)
    far = DebyeExpansion(torch.where(small, 2 * LARGEST, concentration), dim)
    return torch.where(small, getattr(near, quantity)(), getattr(far, quantity)())


def _bregman(k_p: Tensor, k_q: Tensor, dim: int) -> Tensor:
    step = k_q - k_p
    # Of the two ways to write it, that in which F and A are small or that in which they are large.
    small = cumulant(k_q, dim) - cumulant(k_p, dim) - mean_length(k_p, dim) * step
    large = scaled_cumulant(k_q, dim) - scaled_cumulant(k_p, dim) + mean_distance(k_p, dim) * step
    far = torch.where(mean_length(k_p, dim) < 0.5, small, large)
    near = step.square() * _integral(k_p, step, dim, lambda x: 1 - x)
    return torch.where(_close(k_p, k_q), near, far)


def _bregman_slopes(k_p: Tensor, k_q: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    return (
        (k_p - k_q) * cosine_variance(k_p, dim),
        mean_length_difference(k_p, k_q, dim),
    )


def _difference(k_p: Tensor, k_q: Tensor, dim: int) -> Tensor:
    small = mean_length(k_q, dim) - mean_length(k_p, dim)
    large = mean_distance(k_p, dim) - mean_distance(k_q, dim)
    far = torch.where(mean_length(k_p, dim) < 0.5, small, large)
    step = k_q - k_p
    return torch.where(_close(k_p, k_q), step * _integral(k_p, step, dim, torch.ones_like), far)


def _close(k_p: Tensor, k_q: Tensor) -> Tensor:
    """Where the integrand is so smooth that 12 nodes integrate it to rounding."""
    return (k_q - k_p).abs() < 0.5 * torch.minimum(k_p, k_q)


def _integral(k_p: Tensor, step: Tensor, dim: int, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """Integral of weight(x) A'(k_p + x step) over x in [0, 1]."""
    nodes, weights = gauss_legendre(12, k_p)
    variance = cosine_variance(k_p + nodes * step, dim)
    return (weights * weight(nodes) * variance).sum(0)
