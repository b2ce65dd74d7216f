# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior by conditional spline flow."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.transforms import AffineTransform, ConditionalSplineAutoregressive
from torch import Tensor, nn

from pyro_textvae.distributions.conditioned_flow import AutoregressiveConditioner, ConditionedFlow
from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.inverse_softplus import inverse_softplus

# For a spline of slope 1: of its parameters the third is the slopes.
_START = {2: inverse_softplus(1.0)}


class SplineFlowGuide(Guide):
    r"""q(z | x): standard normal draws bent by monotone splines, then scaled and shifted.

    .. math::
        z^0 \sim \mathcal N(0, I), \qquad z^t_i = g(z^{t-1}_i; \theta^t_i(z^{t-1}_{<i}, x)), \qquad
        z = \mu(x) + \sigma(x) \, z^T

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    The spline of a coordinate has parameters from a masked network of the coordinates before it
    and the encoder's features; it acts within ``bound`` and is the identity outside. Every second
    step takes the coordinates in the opposite order. The splines start close to the identity, so
    the guide starts close to a diagonal Gaussian; unlike affine steps they can make several modes.
    The KL has no closed form: it is sampled.

    A draw and its density take one run of each step's network. The density of any other value, as
    of a copy of the draw in DReG and STL, takes ``latent_dim`` runs; mutual information would take
    that for all pairs of a draw and a sentence, and is left out for more than 128 sentences.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = SplineFlowGuide(encoder, latent_dim=3, num_bins=4)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    Source: Durkan et al. (2019), Neural Spline Flows, https://arxiv.org/abs/1906.04032; Dolatabadi
    et al. (2020), Invertible Generative Modeling using Linear Rational Splines,
    https://arxiv.org/abs/2001.05168.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z, at least 2.
    :param num_flow_steps: autoregressive steps.
    :param num_bins: segments of each spline.
    :param bound: where the splines end, in standard deviations of the draws they start from.
    :param flow_hidden_dim: units of each step's network, at least ``latent_dim``; by default four
        times as many.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        num_flow_steps: int = 2,
        num_bins: int = 8,
        bound: float = 4.0,
        flow_hidden_dim: int | None = None,
    ) -> None:
        super().__init__(encoder)
        check_sizes(minimum=2, latent_dim=latent_dim, num_bins=num_bins)
        check_sizes(num_flow_steps=num_flow_steps)
        if not 0 < bound < math.inf:
            raise ValueError(f"bound must be positive and finite, got {bound}")
        hidden_dim = 4 * latent_dim if flow_hidden_dim is None else flow_hidden_dim
        check_sizes(minimum=latent_dim, flow_hidden_dim=hidden_dim)
        self.num_flow_steps = num_flow_steps
        self.num_bins = num_bins
        self.bound = bound
        self.flow_hidden_dim = flow_hidden_dim
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.log_variance = nn.Linear(encoder.output_dim, latent_dim)
        self.steps = nn.ModuleList(
            ConditionalSplineAutoregressive(
                latent_dim,
                AutoregressiveConditioner(
                    latent_dim,
                    encoder.output_dim,
                    hidden_dim,
                    [num_bins, num_bins, num_bins - 1, num_bins],
                    backwards=step % 2 == 1,
                    start=_START,
                ),
                count_bins=num_bins,
                bound=bound,
            )
            for step in range(num_flow_steps)
        )

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        steps: Any = self.steps
        loc = self.loc(features)
        scale = (0.5 * self.log_variance(features)).exp()
        # Without a cache of its own it would hide from the splines that a value is their draw.
        outer = AffineTransform(loc, scale, event_dim=1, cache_size=1)
        start = dist.Normal(torch.zeros_like(loc), torch.ones_like(scale)).to_event(1)
        return ConditionedFlow(start, [*(step.condition(features) for step in steps), outer])
