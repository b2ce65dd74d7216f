# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A vector whose coordinates are drawn one after another, each Gaussian given those before."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_textvae.distributions.samples_of_network import draw_samples, samples_in_place
from pyro_textvae.distributions.shape import Shape


class AutoregressiveNormal(TorchDistribution):
    r"""Vectors whose coordinates are Gaussian, each given those before it.

    .. math::
        p(z) = \prod_j \mathcal N(z_j; \mu_j(z_{<j}), \sigma_j^2(z_{<j}))

    Scored in one pass of the network, drawn in as many passes as there are dimensions. Draws carry
    gradients to the network's parameters. ``batch_shape`` is ``()`` unless expanded.

    >>> def network(z):  # a random walk: each coordinate around the one before it
    ...     before = torch.nn.functional.pad(z[..., :-1], (1, 0))
    ...     return before, torch.zeros_like(z)
    >>> walk = AutoregressiveNormal(network, torch.zeros(4))
    >>> walk.sample((10,)).shape
    torch.Size([10, 4])
    >>> walk.log_prob(torch.zeros(3, 4)).shape
    torch.Size([3])

    Source: Germain et al. (2015), MADE: Masked Autoencoder for Distribution Estimation,
    https://arxiv.org/abs/1502.03509.

    :param network: maps z ``(..., D)`` to loc and log-scale of the same shape, where entry j
        depends on the entries before j alone.
    :param like: a tensor of D entries with the precision and the device of the draws.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        network: Callable[[Tensor], tuple[Tensor, Tensor]],
        like: Tensor,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.network = network
        self._like = like
        self._samples = draw_samples(network)
        super().__init__(torch.Size(), like.shape, validate_args=validate_args)

    def expand(
        self, batch_shape: Shape, _instance: AutoregressiveNormal | None = None
    ) -> AutoregressiveNormal:
        """The same distribution over more rows."""
        new = self._get_checked_instance(AutoregressiveNormal, _instance)
        new.network, new._like, new._samples = self.network, self._like, self._samples
        super(AutoregressiveNormal, new).__init__(
            torch.Size(batch_shape), self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, ``(*sample_shape, *batch_shape, D)``."""
        noise = self._like.new_empty(self._extended_shape(torch.Size(sample_shape))).normal_()
        z = torch.zeros_like(noise)
        # Each pass makes one more coordinate right, the first needing none before it.
        with samples_in_place(self._samples):
            for _ in range(self.event_shape[0]):
                loc, log_scale = self.network(z)
                z = loc + log_scale.exp() * noise
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, ``broadcast(batch_shape, value.shape[:-1])``."""
        if self._validate_args:
            self._validate_sample(value)
        with samples_in_place(self._samples):
            loc, log_scale = self.network(value)
        standard = (value - loc) * (-log_scale).exp()
        terms = -0.5 * standard.square() - log_scale - 0.5 * math.log(2 * math.pi)
        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-1])
        return terms.sum(-1).expand(shape)
