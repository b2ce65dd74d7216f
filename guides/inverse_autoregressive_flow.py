# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior by inverse autoregressive flow."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from pyro.distributions.transforms import ConditionalAffineAutoregressive
from torch import Tensor, nn

from pyro_textvae.distributions.conditioned_flow import AutoregressiveConditioner, ConditionedFlow
from pyro_textvae.nn import Encoder, Guide
from pyro_textvae.nn.checks import check_sizes


class InverseAutoregressiveFlowGuide(Guide):
    r"""q(z | x): a diagonal Gaussian, then affine steps in which each coordinate sees those before.

    .. math::
        z^0 \sim \mathcal N(\mu(x), \operatorname{diag} \sigma^2(x)), \qquad
        z^t_i = s^t_i(z^{t-1}_{<i}, x) \, z^{t-1}_i + m^t_i(z^{t-1}_{<i}, x)

    ======  ======  ===================
    symbol  site    shape
    ======  ======  ===================
    z       ``z``   ``(N, latent_dim)``
    ======  ======  ===================

    A step is z_i <- scale_i z_i + shift_i, where scale and shift come from a masked network of the
    coordinates before i and the encoder's features. Every second step takes the coordinates in the
    opposite order. The steps start close to the identity. The KL has no closed form: it is sampled.

    A draw and its density take one run of each step's network. The density of any other value, as
    of a copy of the draw in DReG and STL, takes ``latent_dim`` runs; mutual information would take
    that for all pairs of a draw and a sentence, and is left out for more than 128 sentences.

    >>> import torch
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = InverseAutoregressiveFlowGuide(encoder, latent_dim=3, num_flow_steps=2)
    >>> guide(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    Source: Kingma et al. (2016), Improving Variational Inference with Inverse Autoregressive Flow,
    https://arxiv.org/abs/1606.04934.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of z, at least 2.
    :param num_flow_steps: autoregressive steps.
    :param flow_hidden_dim: units of each step's network, at least ``latent_dim``; by default four
        times as many.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        num_flow_steps: int = 2,
        flow_hidden_dim: int | None = None,
    ) -> None:
        super().__init__(encoder)
        check_sizes(minimum=2, latent_dim=latent_dim)
        check_sizes(num_flow_steps=num_flow_steps)
        hidden_dim = 4 * latent_dim if flow_hidden_dim is None else flow_hidden_dim
        check_sizes(minimum=latent_dim, flow_hidden_dim=hidden_dim)
        self.num_flow_steps = num_flow_steps
        self.flow_hidden_dim = flow_hidden_dim
        self.loc = nn.Linear(encoder.output_dim, latent_dim)
        self.log_variance = nn.Linear(encoder.output_dim, latent_dim)
        self.steps = nn.ModuleList(
            ConditionalAffineAutoregressive(
                AutoregressiveConditioner(
                    latent_dim, encoder.output_dim, hidden_dim, [1, 1], backwards=step % 2 == 1
                )
            )
            for step in range(num_flow_steps)
        )

    def posterior(self, features: Tensor) -> dist.TorchDistribution:
        """q(z | x) for the encoder's features ``(..., encoder.output_dim)``."""
        steps: Any = self.steps
        scale = (0.5 * self.log_variance(features)).exp()
        start = dist.Normal(self.loc(features), scale).to_event(1)
        return ConditionedFlow(start, [step.condition(features) for step in steps])
