# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The distance of the batch's mean KL from a target."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.terms import PerDatumTerms


class TargetKL(KLConstraint):
    """weight |mean_n KL_n - nats|, the KL being that of all latent sites together.

    Every sentence has this one number. The mean is over all sentences of the batch, as in the
    authors' code, not taken after the distance; one that is masked counts with a KL of 0. At
    equality there is no gradient.

    Source: Burgess et al. (2018), equation 8, where ``nats`` is the capacity C and ``weight``
    gamma; Prokhorov et al. (2019) for text, with a weight of 1.

    :param nats: the KL to hold.
    :param weight: nats of loss for each nat of distance. Where a nat of KL is worth more to the
        reconstruction than this, the KL is above the target.
    """

    def __init__(self, nats: float, weight: float = 1.0) -> None:
        self.nats = checked_amount("nats", nats)
        self.weight = checked_amount("weight", weight)

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        distance = (terms.total_kl.mean() - self.nats).abs()
        return (self.weight * distance).expand(terms.log_likelihood.shape[1])
