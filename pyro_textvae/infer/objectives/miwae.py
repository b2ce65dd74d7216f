# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The mean of importance-weighted bounds over groups of particles."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.infer.objectives.iwae import log_mean_exp
from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.terms import PerDatumTerms


class MIWAE(PerDatumELBO):
    r"""The mean of M independent IWAE bounds of K draws each, for each sentence, in nats.

    .. math::
        \frac{1}{M} \sum_{m=1}^M \log \frac{1}{K} \sum_{k=1}^K w_{mk},
        \qquad w_{mk} = \frac{p(x, z_{mk})}{q(z_{mk} \mid x)}

    As tight as IWAE with the particles of one group; the groups divide the gradient's noise.

    Source: Rainforth et al. (2018), equation 10, https://arxiv.org/abs/1802.04537.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.tensor([[-1.0], [-3.0]]), log_ratio={}, kl={}, scale=1.0
    ... )
    >>> MIWAE(num_particles=2, num_groups=2).bound(terms)
    tensor([-2.])
    >>> MIWAE(num_particles=2, num_groups=1).bound(terms)
    tensor([-1.5662])

    :param num_particles: M K in all.
    :param num_groups: M.
    :raises ValueError: where the groups do not divide the particles.
    """

    trains_enumerated_sites = False
    is_importance_weighted = True

    def __init__(self, num_particles: int = 16, num_groups: int = 4, **options: Any) -> None:
        super().__init__(num_particles, **options)
        self.num_groups = checked_groups(num_particles, num_groups)

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        return log_mean_exp(in_groups(terms.log_weights, self.num_groups)).mean(0)


def in_groups(values: Tensor, num_groups: int) -> Tensor:
    """``(M K, N)`` as ``(K, M, N)``.

    >>> import torch
    >>> in_groups(torch.zeros(6, 5), num_groups=2).shape
    torch.Size([3, 2, 5])
    """
    return values.reshape(-1, num_groups, values.shape[-1])


def checked_groups(num_particles: int, num_groups: int) -> int:
    """The number of groups, which divides that of particles.

    >>> checked_groups(num_particles=6, num_groups=2)
    2

    :raises ValueError: for a number that does not.
    """
    if num_groups < 1 or num_particles % num_groups:
        raise ValueError(
            f"num_groups must divide num_particles, got {num_groups} groups of {num_particles} "
            "particles"
        )
    return num_groups
