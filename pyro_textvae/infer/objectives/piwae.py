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
    """The model's gradient is that of IWAE over all particles, the guide's that of MIWAE.

    The value is IWAE's. One backward pass more through the model than the others.

    Source: Rainforth et al. (2018), equation 12.

    :param num_groups: M of the guide's bound; the particles are M K in all.
    :raises ValueError: where the groups do not divide the particles.
    """

    draws = Draws.CUT

    def __init__(self, num_particles: int = 16, num_groups: int = 4, **options: Any) -> None:
        super().__init__(num_particles, **options)
        self.num_groups = checked_groups(num_particles, num_groups)

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the two gradients."""
        log_weights = terms.log_weights.detach()
        of_groups = in_groups(log_weights, self.num_groups).softmax(0) / self.num_groups
        weights = of_groups.reshape(log_weights.shape)
        return to_the_guide_alone(terms, weights, model_weights=log_weights.softmax(0))
