# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The importance-weighted bound with the path derivative: sticking the landing."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.infer.cut_graph import doubly_reparameterised
from pyro_textvae.infer.objectives.iwae import IWAE
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class STL(IWAE):
    """The bound of IWAE; the guide's gradient is sum_k W_k times that through the draw.

    With K = 1 it is an unbiased gradient of the evidence lower bound, without noise where the
    guide is the posterior. With K > 1 it is biased, and the bias does not vanish with K: prefer
    DReG.

    Source: Roeder et al. (2017), equation 8 and section 5.
    """

    draws = Draws.CUT

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """What has the gradient through the draws alone."""
        weights = terms.log_weights.detach().softmax(0)
        return doubly_reparameterised(terms, weights, factor=torch.ones_like(weights))
