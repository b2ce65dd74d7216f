# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One latent of a pass, and its quantities sorted by sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from pyro_textvae.contract import DATA_PLATE, PARTICLE_PLATE
from pyro_textvae.infer.enumeration.enumeration import Enumeration
from pyro_textvae.infer.enumeration.factor import Factor
from pyro_textvae.infer.plates import frames_in_data


@dataclass(frozen=True)
class LatentSite:
    """One latent of one pass: how it was drawn, and what guide and model say of the draw.

    prior, posterior
        The distributions of model and guide at the site. An auxiliary site of the guide, which
        latents are made of, has no prior.
    draw, seen_by_model
        The guide's draw, with whatever gradient the guide gave it, and what the model took for it.
    log_prior, log_posterior
        log p and log q of the draw, ``(K, N)`` nats. Of a latent that is made of an auxiliary site,
        ``log_posterior`` is minus the log-volume of the map alone; the auxiliary site has the rest.
    node
        The guide's site, for sorting other quantities of the site by sentence.
    is_image
        Whether the latent is made of an auxiliary site of the guide.
    sums
        The pass's sums over enumerated sites, where there are any: then ``log_prior`` and
        ``log_posterior`` are means over the values of those that the guide has.
    dims
        The enumerated site of each dimension of the site's densities, counted from the right.
    """

    name: str
    prior: Any
    posterior: Any
    draw: Tensor
    seen_by_model: Tensor
    log_prior: Tensor
    log_posterior: Tensor
    node: Any
    is_image: bool = False
    sums: Enumeration | None = None
    dims: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_reparameterised(self) -> bool:
        """Whether the draw carries a gradient to the guide."""
        return bool(self.posterior.has_rsample)

    @property
    def is_enumerated(self) -> bool:
        """Whether the site has all its values in the place of a draw."""
        return self.sums is not None and self.name in self.sums.choices

    @property
    def drawn_for_each(self) -> list[str]:
        """The enumerated sites for each of whose values the site has a draw of its own."""
        if self.sums is None or self.is_enumerated:
            return []
        return self.sums.densities[self.name].variables

    @property
    def score(self) -> Tensor:
        """log q of all the draws of each particle together, ``(K, N)``."""
        if self.sums is None or self.is_enumerated:
            return self.log_posterior
        return self.sums.score(self.name)

    def shares(self) -> Tensor:
        """The share of its particle's weight that each of the site's draws has.

        Of the shape of the site's densities.

        :raises ValueError: without enumerated sites.
        """
        if self.sums is None:
            raise ValueError(f"latent site {self.name!r} has no enumerated sites beside it")
        place = torch.zeros_like(self.node["unscaled_log_prob"])
        return self.sums.shares(place, lambda v: Factor.of(self.name, self.node, v, self.dims))

    def factor(self, value: Tensor) -> Factor:
        """A quantity of the site, in the shape of its densities, masked, under enumeration."""
        return Factor.of(self.name, self.node, value, self.dims, self.node["mask"])

    def mean_by_datum(self, value: Tensor) -> Tensor:
        """The same, summed to ``(K, N)``, and averaged over the values of enumerated sites."""
        if self.sums is None:
            return by_datum(self.name, self.node, value)
        return self.sums.expectation([self.factor(value)])

    @property
    def inner_plates(self) -> list[str]:
        """The plates inside ``"data"`` that the site is in."""
        frames = frames_in_data(self.name, self.node)
        return [name for name in frames if name not in (DATA_PLATE, PARTICLE_PLATE)]

    def kl_per_dimension(self) -> Tensor:
        """KL(q(z_j | x), p(z_j)) of every dimension, ``(K, N, D)`` or ``(1, N, D)`` nats.

        :raises ValueError: when guide and prior are not independent over the dimensions of a
            vector, or their KL has no closed form.
        """
        sides = (self.posterior, self.prior)
        if not all(isinstance(fn, Independent) and len(fn.event_shape) == 1 for fn in sides):
            raise ValueError(
                f"the KL of site {self.name!r} has no value for each dimension ({_kind(sides[0])} "
                f"against {_kind(sides[1])}): constrain the whole site, such as with free_bits and "
                'per="site"'
            )
        try:
            kl = kl_divergence(self.posterior.base_dist, self.prior.base_dist)
        except NotImplementedError as error:
            raise ValueError(
                f"the KL of site {self.name!r} has no closed form for each dimension "
                f"({_kind(self.posterior.base_dist)} against {_kind(self.prior.base_dist)}): "
                'constrain the whole site, such as with free_bits and per="site"'
            ) from error
        columns = [self.mean_by_datum(kl[..., j]) for j in range(kl.shape[-1])]
        return torch.stack(columns, -1)


def by_datum(name: str, site: Any, value: Tensor) -> Tensor:
    """Mask a site's ``value`` and sum it to ``(K, N)``; ``(1, N)`` without a plate of particles.

    :raises ValueError: with the site's name, for a site outside the plate ``"data"``.
    """
    frames = frames_in_data(name, site)
    value = scale_and_mask(value, 1.0, site["mask"])
    value = value.expand(torch.broadcast_shapes(value.shape, site["fn"].batch_shape))
    kept = [frames[plate].dim for plate in (DATA_PLATE, PARTICLE_PLATE) if plate in frames]
    others = [dim for dim in range(-value.dim(), 0) if dim not in kept]
    if others:
        value = value.sum(others)
    return value if value.dim() == 2 else value.unsqueeze(0)


def over_draw(site: LatentSite, values: Tensor) -> Tensor:
    """Numbers of each particle and sentence, ``(K, N)``, in a shape that multiplies the draw."""
    frames = frames_in_data(site.name, site.node)
    event_dim = len(site.posterior.event_shape)
    shape = [1] * site.draw.dim()
    shape[frames[DATA_PLATE].dim - event_dim] = values.shape[1]
    if PARTICLE_PLATE in frames:
        shape[frames[PARTICLE_PLATE].dim - event_dim] = values.shape[0]
    return values.reshape(shape)


def _kind(fn: Any) -> str:
    return type(getattr(fn, "base_dist", fn)).__name__
