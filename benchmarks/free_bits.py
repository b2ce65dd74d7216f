# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The evidence lower bound with the KL of each sentence charged only above four nats."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.infer import BetaELBO, PerDatumTerms


class FreeBits(BetaELBO):
    """E_q log p(x | z) - max(KL, 4), for each sentence: what the runs of the tables train with."""

    free_nats = 4.0

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The objective of each sentence, ``(N,)``."""
        kl = terms.total_kl.mean(0)
        return terms.log_likelihood.mean(0) - self.kl_weight * kl.clamp(min=self.free_nats)
