# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A normalising flow whose transforms come from the source."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.transforms import AffineTransform, ConditionalAffineAutoregressive
from torch import Tensor, nn

from pyro_textvae.distributions.conditioned_flow import AutoregressiveConditioner, ConditionedFlow
from pyro_textvae.nn.checks import check_sizes


class ConditionalFlow(nn.Module):
    r"""p(z | s): from z to noise by affine steps in which each coordinate sees those before it.

    .. math::
        p(z \mid s) = \mathcal N\!\left(f_s\!\left(\frac{z - \mu(s)}{\sigma(s)}\right); 0, I\right)
        \left| \det \frac{\partial f_s}{\partial z} \right|

    A step of f is z_i <- scale_i z_i + shift_i, where scale and shift come from a masked network of
    the coordinates before i and the source's features; every second step takes the coordinates in
    the opposite order. It starts close to a Gaussian that is linear in the features. A density
    takes one run of each step's network, as training asks for it; a draw takes ``latent_dim``.

    >>> prior = ConditionalFlow(feature_dim=8, latent_dim=3)
    >>> prior(torch.zeros(2, 8)).sample().shape
    torch.Size([2, 3])

    Source: Papamakarios et al. (2017), Masked Autoregressive Flow for Density Estimation,
    https://arxiv.org/abs/1705.07057, its conditional form.

    :param feature_dim: width of the source's features.
    :param latent_dim: size of z, at least 2.
    :param num_flow_steps: autoregressive steps.
    :param flow_hidden_dim: units of each step's network, at least ``latent_dim``; by default four
        times as many.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        num_flow_steps: int = 2,
        flow_hidden_dim: int | None = None,
    ) -> None:
        check_sizes(feature_dim=feature_dim, num_flow_steps=num_flow_steps)
        check_sizes(minimum=2, latent_dim=latent_dim)
        hidden_dim = 4 * latent_dim if flow_hidden_dim is None else flow_hidden_dim
        check_sizes(minimum=latent_dim, flow_hidden_dim=hidden_dim)
        super().__init__()
        self.feature_dim = feature_dim
        self.latent_dim = latent_dim
        self.num_flow_steps = num_flow_steps
        self.flow_hidden_dim = flow_hidden_dim
        self.loc = nn.Linear(feature_dim, latent_dim)
        self.log_variance = nn.Linear(feature_dim, latent_dim)
        self.steps = nn.ModuleList(
            ConditionalAffineAutoregressive(
                AutoregressiveConditioner(
                    latent_dim, feature_dim, hidden_dim, [1, 1], backwards=step % 2 == 1
                )
            )
            for step in range(num_flow_steps)
        )

    def forward(self, features: Tensor) -> dist.TorchDistribution:
        """The distribution for features ``(N, feature_dim)``, batch shape ``(N,)``."""
        loc = self.loc(features)
        scale = (0.5 * self.log_variance(features)).exp()
        steps: Any = reversed(self.steps)
        # Without a cache of its own it would hide from the steps that a value is their draw.
        outer = AffineTransform(loc, scale, event_dim=1, cache_size=1)
        noise = dist.Normal(torch.zeros_like(loc), torch.ones_like(scale)).to_event(1)
        return ConditionedFlow(noise, [*(step.condition(features).inv for step in steps), outer])
