# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The von Mises-Fisher distribution: unit vectors around a mean direction."""

from __future__ import annotations

import torch
from pyro.distributions import constraints
from torch import Tensor
from torch.distributions import register_kl

from pyro_textvae.distributions import von_mises_fisher_functions as functions
from pyro_textvae.distributions.hyperspherical_uniform import HypersphericalUniform
from pyro_textvae.distributions.rotationally_symmetric import (
    RotationallySymmetric,
    check_same_sphere,
)
from pyro_textvae.distributions.shape import Shape
from pyro_textvae.distributions.sphere import log_surface_area
from pyro_textvae.distributions.von_mises_fisher_draws import draw_angle


class VonMisesFisher(RotationallySymmetric):
    r"""Unit vectors z with a density that falls with their distance to ``loc``.

    .. math::
        p(z) \propto e^{\kappa \mu^\top z}, \qquad z, \mu \in S^{d-1}

    In any number of dimensions from 2, for concentrations from 0, the uniform distribution, to 1e6
    and beyond. Draws are exact, and reparameterised in both parameters. Densities are with respect
    to the area of the sphere, in nats; whatever depends on the concentration is computed in
    float64.

    ``batch_shape`` is that of ``loc`` without its last dimension, broadcast with ``concentration``;
    ``event_shape`` is ``(d,)``.

    >>> loc = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> posterior = VonMisesFisher(loc, torch.tensor([0.0, 500.0]))
    >>> posterior.rsample((10,)).shape
    torch.Size([10, 2, 3])
    >>> from torch.distributions import kl_divergence
    >>> kl_divergence(posterior, HypersphericalUniform(3))[0].item()
    0.0

    Source: Mardia and Jupp (2000), Directional Statistics, section 9.3,
    https://doi.org/10.1002/9780470316979; Davidson et al. (2018), Hyperspherical Variational
    Auto-Encoders, https://arxiv.org/abs/1804.00891.

    :param loc: mean direction mu, unit vectors ``(*batch_shape, d)`` with d at least 2.
    :param concentration: kappa, ``batch_shape``, not negative.
    :raises ValueError: for shapes that do not fit; under validation, also for a ``loc`` that is not
        of unit norm and a ``concentration`` that is negative or not finite.
    """

    arg_constraints = {"loc": constraints.sphere, "concentration": constraints.nonnegative}
    _rule = "finite and not negative"

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws with gradients to both parameters, ``(*sample_shape, *batch_shape, d)``.

        The gradient to ``loc`` moves a draw by the rotation that carries the mean direction, that
        to ``concentration`` along the great circle through both.
        """
        shape = self._extended_shape(torch.Size(sample_shape))
        angle = draw_angle(self.concentration.double().expand(shape[:-1]), self._dim).unsqueeze(-1)
        cosine, sine = angle.cos().to(self.loc.dtype), angle.sin().to(self.loc.dtype)
        across = self._orthogonal_direction(shape)
        # That part is zero; its gradient keeps the direction across at right angles to loc.
        along = cosine - sine * (across * self.loc).sum(-1, keepdim=True)
        z = along * self.loc + sine * across
        # Against rounding only, that of loc too: the norm is 1, so it needs no gradient.
        return z / z.detach().norm(dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, ``broadcast(batch_shape, value.shape[:-1])``."""
        if self._validate_args:
            self._validate_sample(value)
        # 1 - cosine from the squared distance, which keeps its digits where the product of two unit
        # vectors rounds to 1; the concentration would multiply the error.
        distance = (self.loc - value).square().sum(-1) / 2
        scaled = self._of_concentration(functions.scaled_cumulant)
        log_prob = -self.concentration * distance.double() - scaled - log_surface_area(self._dim)
        return log_prob.to(distance.dtype)

    def entropy(self) -> Tensor:
        """Differential entropy, ``batch_shape``."""
        divergence = self._of_concentration(functions.divergence_from_uniform)
        return (log_surface_area(self._dim) - divergence).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """E[z], which lies inside the sphere; ``(*batch_shape, d)``."""
        length = self._of_concentration(functions.mean_length).to(self.loc.dtype)
        return length.unsqueeze(-1) * self.loc

    @property
    def mode(self) -> Tensor:
        """Where the density is highest: ``loc``."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Of each coordinate, ``(*batch_shape, d)``."""
        along = self._of_concentration(functions.cosine_variance)
        off = self._of_concentration(functions.mean_distance)
        # E[sine^2] over the directions across.
        across = (off * (2 - off) - along) / (self._dim - 1)
        square = self.loc.double().square()
        variance = along.unsqueeze(-1) * square + across.unsqueeze(-1) * (1 - square)
        return variance.to(self.loc.dtype)

    @property
    def _dim(self) -> int:
        return self.event_shape[0]

    def _of_concentration(self, function: functions.OfConcentration) -> Tensor:
        """A special function, float64, once for rows that are an expansion of one another."""
        distinct = self.concentration[
            tuple(slice(1 if stride == 0 else None) for stride in self.concentration.stride())
        ]
        return function(distinct.double(), self._dim).expand(self.batch_shape)


@register_kl(VonMisesFisher, HypersphericalUniform)
def _divergence_from_uniform(p: VonMisesFisher, q: HypersphericalUniform) -> Tensor:
    check_same_sphere(p, q)
    divergence = p._of_concentration(functions.divergence_from_uniform).to(p.loc.dtype)
    return divergence.expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape))


@register_kl(VonMisesFisher, VonMisesFisher)
def _divergence(p: VonMisesFisher, q: VonMisesFisher) -> Tensor:
    check_same_sphere(p, q)
    # In this form neither part is a difference of large numbers, and both are 0 at p = q.
    distance = (p.loc - q.loc).square().sum(-1).double() / 2
    length = p._of_concentration(functions.mean_length)
    turned = length * q.concentration.double() * distance
    concentrations = p.concentration.double(), q.concentration.double()
    stretched = functions.divergence_of_concentrations(*concentrations, p._dim)
    return (turned + stretched).to(p.loc.dtype)
