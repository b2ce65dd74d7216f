# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound with the doubly reparameterised gradient."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.infer.cut_graph import doubly_reparameterised
from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class DReG(IWAE):
    """The bound of IWAE; the guide's gradient is sum_k W_k^2 times that through the draw.

    W are the normalised weights. Unbiased as IWAE's own, with a signal-to-noise ratio for the guide
    that grows as sqrt(K) where the other falls. The model's gradient is IWAE's.

    Source: Tucker et al. (2019), equation 8; Bauer & Mnih (2021) for several latents.
    """

    draws = Draws.CUT

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the doubly reparameterised gradient."""
        weights = terms.log_weights.detach().softmax(0)
        return doubly_reparameterised(terms, weights, factor=weights)
