# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Free bits for each latent site, on the mean of the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.terms import PerDatumTerms


class FreeBitsPerSiteOfBatchMean(KLConstraint):
    """sum_s max(nats, mean_n KL_ns), over the latent sites s.

    Every sentence has this one number. The mean is over all sentences of the batch; one that is
    masked counts with a KL of 0. A site whose mean lies below ``nats`` has no gradient; at equality
    it has the gradient of the KL.

    Source: Kingma et al. (2016), equation 15, with one group for each site.

    :param nats: what each site is free to carry on average over the batch.
    """

    def __init__(self, nats: float) -> None:
        self.nats = checked_amount("nats", nats)

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        total = torch.zeros_like(terms.log_likelihood[0])
        for kl in terms.kl.values():
            total = total + kl.mean().clamp(min=self.nats)
        return total
