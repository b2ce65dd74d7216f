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
    """The mean of num_groups independent IWAE bounds of num_particles / num_groups draws each.

    As tight as IWAE with the particles of one group; the groups divide the gradient's noise.

    Source: Rainforth et al. (2018), equation 10.

    :param num_groups: M; the particles are M K in all.
    :raises ValueError: where the groups do not divide the particles.
    """

    def __init__(self, num_particles: int = 16, num_groups: int = 4, **options: Any) -> None:
        super().__init__(num_particles, **options)
        self.num_groups = checked_groups(num_particles, num_groups)

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        return log_mean_exp(in_groups(terms.log_weights, self.num_groups)).mean(0)


def in_groups(values: Tensor, num_groups: int) -> Tensor:
    """(M K, N) as (K, M, N)."""
    return values.reshape(-1, num_groups, values.shape[-1])


def checked_groups(num_particles: int, num_groups: int) -> int:
    """The number of groups, which divides that of particles."""
    if num_groups < 1 or num_particles % num_groups:
        raise ValueError(
            f"num_groups must divide num_particles, got {num_groups} groups of {num_particles} "
            "particles"
        )
    return num_groups
