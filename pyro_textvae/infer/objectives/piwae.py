# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The model trained by one tight bound, the guide by the mean of looser ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.infer.cut_graph import to_the_guide_alone
from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.objectives.miwae import checked_groups, in_groups
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class PIWAE(IWAE):
    r"""The model is trained by IWAE over all M K particles, the guide by MIWAE over M groups of K.

    .. math::
        \nabla_\theta \log \frac{1}{M K} \sum_{m, k} w_{mk}, \qquad
        \nabla_\phi \frac{1}{M} \sum_m \log \frac{1}{K} \sum_k w_{mk}

    The value is IWAE's. One backward pass more through the model than the others.

    Source: Rainforth et al. (2018), equation 12, https://arxiv.org/abs/1802.04537.

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
    >>> objective = PIWAE(num_particles=6, num_groups=3)
    >>> round(objective.loss(model, guide, tokens=torch.zeros(1)), 4)  # -log p(x)
    1.2655

    :param num_particles: M K in all.
    :param num_groups: M of the guide's bound.
    :raises ValueError: where the groups do not divide the particles.
    """

    draws = Draws.CUT
    takes_global_latents = False

    def __init__(self, num_particles: int = 16, num_groups: int = 4, **options: Any) -> None:
        super().__init__(num_particles, **options)
        self.num_groups = checked_groups(num_particles, num_groups)

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the two gradients."""
        log_weights = terms.log_weights.detach()
        of_groups = in_groups(log_weights, self.num_groups).softmax(0) / self.num_groups
        weights = of_groups.reshape(log_weights.shape)
        return to_the_guide_alone(terms, weights, model_weights=log_weights.softmax(0))
