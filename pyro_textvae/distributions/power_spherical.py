# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The power spherical distribution: unit vectors around a mean direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Gamma, register_kl

from pyro_textvae.distributions.hyperspherical_uniform import HypersphericalUniform
from pyro_textvae.distributions.rotationally_symmetric import (
    RotationallySymmetric,
    check_same_sphere,
)
from pyro_textvae.distributions.shape import Shape
from pyro_textvae.distributions.sphere import log_surface_area


class PowerSpherical(RotationallySymmetric):
    r"""Unit vectors z with a density that falls with their angle to ``loc``.

    .. math::
        p(z) \propto (1 + \mu^\top z)^\kappa, \qquad
        \tfrac12 (1 + \mu^\top z) \sim \mathrm{Beta}(\tfrac{d-1}{2} + \kappa, \tfrac{d-1}{2})

    Close to the von Mises-Fisher distribution, but with a sampler that rejects nothing and a
    normaliser made of gamma functions. Draws are reparameterised in both parameters. Densities are
    with respect to the area of the sphere, in nats; special functions are computed in float64.

    ``batch_shape`` is that of ``loc`` without its last dimension, broadcast with ``concentration``;
    ``event_shape`` is ``(d,)``.

    >>> loc = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> posterior = PowerSpherical(loc, torch.tensor([5.0, 50.0]))
    >>> posterior.rsample((10,)).shape
    torch.Size([10, 2, 3])
    >>> from torch.distributions import kl_divergence
    >>> kl_divergence(posterior, HypersphericalUniform(3)).shape
    torch.Size([2])

    Source: De Cao and Aziz (2020), The Power Spherical Distribution,
    https://arxiv.org/abs/2006.04437.

    :param loc: mean direction mu, unit vectors ``(*batch_shape, d)`` with d at least 2.
    :param concentration: kappa, ``batch_shape``, positive.
    :raises ValueError: for shapes that do not fit; under validation, also for a ``loc`` that is not
        of unit norm and a ``concentration`` that is not positive and finite.
    """

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws with gradients to both parameters, ``(*sample_shape, *batch_shape, d)``.

        The gradient to ``loc`` moves a draw by the rotation that carries the mean direction.
        """
        shape = self._extended_shape(torch.Size(sample_shape))
        # A beta variable as a ratio of gammas, in float64: both it and its distance to 1 keep all
        # their digits, and PyTorch's gradient of a gamma variable is exact to 1e-4, where that of
        # a Dirichlet is off by 3e-3 for few dimensions and a large concentration.
        half = torch.full_like(self.concentration, self._half_degrees, dtype=torch.float64)
        toward = Gamma(half + self.concentration, 1.0, validate_args=False).rsample(sample_shape)
        away = Gamma(half, 1.0, validate_args=False).sample(sample_shape)
        total = toward + away
        cosine = ((toward - away) / total).to(self.loc.dtype).unsqueeze(-1)
        sine = (2 * (toward * away).sqrt() / total).to(self.loc.dtype).unsqueeze(-1)
        across = self._orthogonal_direction(shape)
        across = across - (across * self.loc).sum(-1, keepdim=True) * self.loc
        z = cosine * self.loc + sine * across
        # Against rounding only, that of loc too: the norm is 1, so it needs no gradient.
        return z / z.detach().norm(dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, ``broadcast(batch_shape, value.shape[:-1])``.

        A value at ``-loc`` counts as one at the distance of a rounding error: it stays finite.
        """
        if self._validate_args:
            self._validate_sample(value)
        # 1 + cosine from squared distances, which keep their digits where the product of two unit
        # vectors rounds to 1 or to -1; the concentration would multiply the error.
        near = (self.loc - value).square().sum(-1) / 4
        far = (self.loc + value).square().sum(-1) / 4
        log_share = torch.where(
            near < 0.5,
            torch.log1p(-near.clamp(max=0.5)),
            far.clamp(min=torch.finfo(value.dtype).eps ** 2).log(),
        )
        return (self.concentration * log_share - self._log_normaliser).to(log_share.dtype)

    def entropy(self) -> Tensor:
        """Differential entropy, ``batch_shape``."""
        return log_surface_area(self.event_shape[0]) - self._divergence_from_uniform()

    @property
    def mean(self) -> Tensor:
        """E[z], which lies inside the sphere; ``(*batch_shape, d)``."""
        length = self.concentration / (self.concentration + 2 * self._half_degrees)
        return length.unsqueeze(-1) * self.loc

    @property
    def _half_degrees(self) -> float:
        return 0.5 * (self.event_shape[0] - 1)

    @property
    def _log_normaliser(self) -> Tensor:
        """Log of the integral of ((1 + cosine) / 2)^concentration over the sphere, float64."""
        return log_surface_area(self.event_shape[0]) + self._log_mean_share()

    def _log_mean_share(self) -> Tensor:
        """log E[((1 + cosine) / 2)^concentration] under the uniform distribution, float64."""
        half, concentration = self._half_degrees, self.concentration.double()
        return (
            torch.lgamma(half + concentration)
            - torch.lgamma(2 * half + concentration)
            + math.lgamma(2 * half)
            - math.lgamma(half)
        )

    def _divergence_from_uniform(self) -> Tensor:
        half, concentration = self._half_degrees, self.concentration.double()
        mean_log_share = torch.digamma(half + concentration) - torch.digamma(
            2 * half + concentration
        )
        return (concentration * mean_log_share - self._log_mean_share()).to(self.loc.dtype)


@register_kl(PowerSpherical, HypersphericalUniform)
def _divergence(p: PowerSpherical, q: HypersphericalUniform) -> Tensor:
    check_same_sphere(p, q)
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    return p._divergence_from_uniform().expand(shape)
