# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Reweighted wake-sleep, with the wake update of the guide."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class WakeSleep(IWAE):
    r"""Reweighted wake-sleep, with the wake update of the guide, for each sentence, in nats.

    .. math::
        \nabla_\theta = \mathbb{E} \sum_k W_k \nabla_\theta \log p(x, z_k), \qquad
        \nabla_\phi = \mathbb{E} \sum_k W_k \nabla_\phi \log q(z_k \mid x)

    The model goes up the bound of IWAE; the guide goes down KL(p(z | x), q(z | x)), by weighted
    draws: wake-phi, which needs neither reparameterisation nor a baseline, so latents may be
    discrete. The value is IWAE's. Sites that the guide enumerates are summed over: their q(y | x)
    learns from all values, each with its share of the weight.

    Source: Bornschein & Bengio (2015), equation 14, https://arxiv.org/abs/1406.2751; Le et al.
    (2019), section 3, https://arxiv.org/abs/1805.10469.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=tokens)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(tokens / 2, 0.5**0.5))
    >>> round(WakeSleep(num_particles=4).loss(model, guide, tokens=torch.zeros(1)), 4)  # -log p(x)
    1.2655

    :param num_particles: at least 2: the weight of a single draw says nothing.
    :raises ValueError: for a single particle.
    """

    draws = Draws.DETACHED
    takes_discrete_latents = True
    takes_global_latents = False
    trains_enumerated_sites = True

    def __init__(self, num_particles: int = 16, **options: Any) -> None:
        super().__init__(num_particles, **options)
        if num_particles < 2:
            raise ValueError(
                "num_particles must be at least 2, as the weight of one draw is 1 and trains the "
                f"guide by noise alone, got {num_particles}"
            )

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the two wake gradients."""
        weights = terms.log_weights.detach().softmax(0)
        return (weights * (terms.log_joint + terms.log_guide_with_choices)).sum(0)
