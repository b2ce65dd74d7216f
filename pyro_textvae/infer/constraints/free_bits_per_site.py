# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Free bits for each latent site and each sentence."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.terms import PerDatumTerms


class FreeBitsPerSite(KLConstraint):
    """sum_s max(nats, KL_ns), for each sentence n and latent site s.

    With one site it is max(nats, KL) of each sentence. Below ``nats`` there is no gradient; at
    equality there is that of the KL. A KL without closed form is the mean of log q - log p over
    the particles, whose noise is then clamped too: take several.

    Source: Kingma et al. (2016), appendix C.8, with one group for each site and without the mean
    over the batch.

    :param nats: what each site is free to carry in each sentence.
    """

    def __init__(self, nats: float) -> None:
        self.nats = checked_amount("nats", nats)

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        total = torch.zeros_like(terms.log_likelihood[0])
        for kl in terms.kl.values():
            total = total + kl.mean(0).clamp(min=self.nats)
        return total
