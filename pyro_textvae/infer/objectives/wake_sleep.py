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
    """The model climbs IWAE; the guide goes down KL(p(z | x), q(z | x)), by weighted draws.

    The guide's gradient is sum_k W_k times that of log q(z_k | x): wake-phi, which needs neither
    reparameterisation nor a baseline, so latents may be discrete. Per sentence, in nats; the value
    is IWAE's.

    Source: Bornschein & Bengio (2015), equation 14; Le et al. (2019), section 3.

    :param num_particles: at least 2: the weight of a single draw says nothing.
    """

    draws = Draws.DETACHED
    takes_discrete_latents = True

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
        return (weights * (terms.log_joint + terms.log_guide)).sum(0)
