# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The uniform distribution over the unit sphere."""

from __future__ import annotations

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_textvae.distributions.shape import Shape
from pyro_textvae.distributions.sphere import log_surface_area, unit_vector


class HypersphericalUniform(TorchDistribution):
    r"""Unit vectors in ``dim`` dimensions, every direction alike.

    .. math::
        p(z) = \frac{\Gamma(d/2)}{2 \pi^{d/2}}, \qquad z \in S^{d-1}

    ``batch_shape`` is ``()`` unless expanded, ``event_shape`` is ``(dim,)``. Densities are with
    respect to the area of the sphere, in nats.

    >>> sphere = HypersphericalUniform(3)
    >>> sphere.sample((10,)).norm(dim=-1).allclose(torch.ones(10))
    True
    >>> round(sphere.entropy().exp().item() / torch.pi, 4)  # the area is 4 pi
    4.0

    :param dim: dimensions of the space around the sphere, at least 2.
    :param dtype: of the draws; by default PyTorch's.
    :param device: of the draws; by default PyTorch's.
    :raises ValueError: for a ``dim`` below 2.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.sphere
    has_rsample = True

    def __init__(
        self,
        dim: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if dim < 2:
            raise ValueError(f"dim must be at least 2, got {dim}: a sphere needs two dimensions")
        self.dim = dim
        # Empty: it carries precision and device.
        self._like = torch.empty(0, dtype=dtype, device=device)
        super().__init__(torch.Size(), torch.Size((dim,)), validate_args=validate_args)

    def expand(
        self, batch_shape: Shape, _instance: HypersphericalUniform | None = None
    ) -> HypersphericalUniform:
        """The same distribution over more rows; stays of this class, so that its KL is found."""
        new = self._get_checked_instance(HypersphericalUniform, _instance)
        new.dim = self.dim
        new._like = self._like
        super(HypersphericalUniform, new).__init__(
            torch.Size(batch_shape), self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, ``(*sample_shape, *batch_shape, dim)``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return unit_vector(self._like.new_empty(shape).normal_())

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the log of the area, ``broadcast(batch_shape, value.shape[:-1])``."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-1])
        return value.new_full((), -log_surface_area(self.dim)).expand(shape)

    def entropy(self) -> Tensor:
        """Log of the area of the sphere, ``batch_shape``."""
        return self._like.new_full((), log_surface_area(self.dim)).expand(self.batch_shape)

    @property
    def mean(self) -> Tensor:
        """Zero, which is not on the sphere; ``(*batch_shape, dim)``."""
        return self._like.new_zeros(()).expand(self.batch_shape + self.event_shape)
