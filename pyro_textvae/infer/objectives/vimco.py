# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound with discrete latents: score function, leave-one-out baseline."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.terms import PerDatumTerms


class VIMCO(IWAE):
    r"""The bound of IWAE, with a gradient for latents that have no reparameterisation.

    .. math::
        \nabla_\phi = \mathbb{E}
        \sum_k \big(\hat L - \hat L_{-k}\big) \nabla_\phi \log q(z_k \mid x)
        + \sum_k W_k \nabla_\phi \log w_k

    Each draw's score is weighted by the bound less what it would be if the draw's own weight were
    the geometric mean of those of all other draws, which is the second L. Reparameterised latents
    beside them keep their gradient through the draw, and enumerated ones are summed over. Unbiased.

    Source: Mnih & Rezende (2016), equations 6 to 8, https://arxiv.org/abs/1602.06725.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> logit = torch.tensor(0.0, requires_grad=True)
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         y = pyro.sample("y", dist.Bernoulli(0.5))
    ...         pyro.sample("x", dist.Normal(y, 1.0), obs=tokens)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("y", dist.Bernoulli(logits=logit))
    >>> VIMCO(num_particles=2)(model, guide)(tokens=torch.ones(999)).backward()
    >>> bool(logit.grad < 0)  # The sentences are at 1, so that y = 1 is to become likelier.
    True

    :param num_particles: at least 2, for the baseline.
    :raises ValueError: for a single particle.
    """

    takes_discrete_latents = True

    def __init__(self, num_particles: int = 8, **options: Any) -> None:
        super().__init__(num_particles, **options)
        if num_particles < 2:
            raise ValueError(
                f"num_particles must be at least 2 for a leave-one-out baseline, got "
                f"{num_particles}"
            )

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """The bound, and the scores of the discrete draws with their learning signals."""
        signal = _learning_signal(terms.log_weights.detach())
        scores = [
            sum(
                (
                    site.score
                    for site in sites
                    if not (site.is_reparameterised or site.is_enumerated)
                ),
                torch.zeros_like(signal[:1]),
            )
            for sites in terms.passes
        ]
        log_guide = torch.cat([score.expand(-1, signal.shape[1]) for score in scores])
        return self.bound(terms) + (signal * log_guide).sum(0)


def _learning_signal(log_weights: Tensor) -> Tensor:
    """The bound less the bound with each weight replaced by the others' geometric mean."""
    count = len(log_weights)
    stand_in = (log_weights.sum(0) - log_weights) / (count - 1)
    left_out = torch.eye(count, dtype=torch.bool, device=log_weights.device).unsqueeze(-1)
    without = torch.where(
        left_out, stand_in, log_weights.unsqueeze(0)
    )  # (K, K, N), one left out a row
    baseline = without.logsumexp(1) - math.log(count)
    return log_weights.logsumexp(0) - math.log(count) - baseline
