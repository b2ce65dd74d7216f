# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Free bits for each dimension of z, on the mean of the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.constraints.free_bits_per_dimension import kl_per_dimension
from pyro_textvae.infer.terms import PerDatumTerms


class FreeBitsPerDimensionOfBatchMean(KLConstraint):
    """sum_j max(nats, mean_n KL_nj), over the dimensions j of every latent site.

    Every sentence has this one number. The mean is over all sentences of the batch; one that is
    masked counts with a KL of 0. A dimension whose mean lies below ``nats`` has no gradient; at
    equality it has the gradient of the KL.

    Source: Kingma et al. (2016), equation 15, with one group for each dimension.

    :param nats: what each dimension is free to carry on average over the batch.
    :raises ValueError: when called, for a site whose KL has no closed form for each dimension.
    """

    def __init__(self, nats: float) -> None:
        self.nats = checked_amount("nats", nats)

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        total = torch.zeros_like(terms.log_likelihood[0])
        for kl in kl_per_dimension(terms).values():
            total = total + kl.mean(0).clamp(min=self.nats).sum()
        return total
