# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The variational Renyi bound."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.infer.cut_graph import doubly_reparameterised
from pyro_textvae.infer.objectives.iwae import log_mean_exp
from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class RenyiIWAE(PerDatumELBO):
    r"""The variational Renyi bound, for each sentence, in nats.

    .. math::
        \mathbb{E} \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_{k=1}^K w_k^{1 - \alpha},
        \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}

    alpha = 0 is IWAE, alpha -> 1 the evidence lower bound, 0 < alpha < 1 between them: a lower
    bound of log p(x). With alpha < 0 it bounds log p(x) from neither side at a given K.

    Where the guide enumerates a site y, each draw has a power for each of its values,

    .. math::
        \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_k \sum_y q(y \mid x)^\alpha
        \Big( \frac{p(x, y, z_{ky})}{q(z_{ky} \mid x, y)} \Big)^{1 - \alpha}

    which is IWAE's sum at alpha = 0; the doubly reparameterised gradient is refused then.

    Source: Li & Turner (2016), equation 8, https://arxiv.org/abs/1602.02311; Tucker et al. (2019),
    appendix, https://arxiv.org/abs/1810.04152, for the doubly reparameterised gradient.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.tensor([[-1.0], [-3.0]]), log_ratio={}, kl={}, scale=1.0
    ... )
    >>> RenyiIWAE(num_particles=2, alpha=0.0).bound(terms)
    tensor([-1.5662])
    >>> RenyiIWAE(num_particles=2, alpha=0.5).bound(terms)
    tensor([-1.7598])

    :param alpha: any number but 1.
    :param doubly_reparameterised: weight the guide's gradient through the draws by
        alpha W + (1 - alpha) W^2 instead of differentiating the bound.
    :raises ValueError: for an alpha of 1, or one that is not finite.
    """

    is_importance_weighted = True

    def __init__(
        self,
        num_particles: int = 8,
        alpha: float = 0.5,
        *,
        doubly_reparameterised: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(num_particles, **options)
        if not math.isfinite(alpha):
            raise ValueError(f"alpha must be finite, got {alpha}")
        if alpha == 1:
            raise ValueError("alpha must not be 1, where the bound is the ELBO: use BetaELBO")
        self.alpha = alpha
        self.draws = Draws.CUT if doubly_reparameterised else Draws.CONNECTED
        # q(y | x) is in this bound, and would have to be told apart from the densities of draws.
        self.takes_enumerated_sites = not doubly_reparameterised

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The bound of each sentence, (N,)."""
        return log_mean_exp(self._powers(terms)) / (1 - self.alpha)

    def _powers(self, terms: PerDatumTerms) -> Tensor:
        """(1 - alpha) log w_k, and with enumerated sites the logarithm of the sum over them."""
        power = 1 - self.alpha
        if not terms.enumerated:
            return power * terms.log_weights
        totals = [
            sums.by_draw(sums.log_total(joint=power, choices=self.alpha, densities=-power))
            for sums in terms.enumerated
        ]
        return torch.cat(totals)

    def surrogate(self, terms: PerDatumTerms) -> Tensor:
        """The bound, or what has its doubly reparameterised gradient."""
        if self.draws is Draws.CONNECTED:
            return self.bound(terms)
        weights = ((1 - self.alpha) * terms.log_weights.detach()).softmax(0)
        return doubly_reparameterised(
            terms, weights, factor=lambda weight: self.alpha + (1 - self.alpha) * weight
        )
