# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A least KL on average, held by a Lagrange multiplier."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.shared_batch import whole_batch


class MinimumDesiredRate(KLConstraint):
    r"""A least KL on average over the batch, at a price that rises until it holds.

    .. math::
        C_n = \mathrm{KL}_n + \frac{\max(0, m + c g)^2 - m^2}{2 c},
        \qquad g = \text{nats} - \frac{1}{N} \sum_l \mathrm{KL}_l

    With multiplier m and damping c the second term is the augmented Lagrangian of mean KL >= nats,
    and m g where c = 0. Its gradient is that of -max(0, m + c g) mean KL: between 0 and 1 the share
    of the KL's price that is waived, above 1 a KL is paid for. Damping moves neither the optimum
    nor the multiplier there, but for the noise of a batch's mean. Without it, as published, the
    multiplier goes on rising while the guide begins to move, and both can swing about the optimum
    for good.

    :meth:`advance` moves the multiplier up the gradient, by learning_rate times g, and back to 0
    where it would become negative. It is projected, and not put through a function such as
    softplus, because that leaves the bound alone (a multiplier of exactly 0) where the constraint
    holds by itself, and moves as fast from 0 as from anywhere. A weight of the KL term multiplies
    all of this: leave it constant, or the multiplier rises while it has no effect. The mean is over
    all sentences of the batch; one that is masked counts with a KL of 0.

    Source: Pelsmaeker & Aziz (2020), section 3, minimum desired rate,
    https://arxiv.org/abs/1904.08194; Platt & Barr (1987) for the damping; Rockafellar (1974),
    https://doi.org/10.1137/0312021, for its form with an inequality.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.zeros(1, 2), log_ratio={}, kl={"z": torch.tensor([[1.0, 3.0]])},
    ...     scale=1.0,
    ... )
    >>> constraint = MinimumDesiredRate(nats=4.0, damping=0.0)
    >>> constraint(terms)  # The multiplier is 0 at first.
    tensor([1., 3.])
    >>> constraint.advance(terms)
    >>> constraint.describe()  # 0.01 times the 2 nats that are lacking
    {'multiplier': 0.02}

    :param nats: the least KL, on average over the sentences, of all latent sites together.
    :param learning_rate: change of the multiplier for each nat that is lacking, in each step.
    :param damping: c, change of the price for each nat that is lacking at present.
    :raises ValueError: for a negative number, or one that is not finite.
    """

    is_of_whole_batch = True

    def __init__(self, nats: float, learning_rate: float = 0.01, damping: float = 1.0) -> None:
        self.nats = checked_amount("nats", nats)
        self.learning_rate = checked_amount("learning_rate", learning_rate)
        self.damping = checked_amount("damping", damping)
        self.multiplier = 0.0

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        kl = terms.total_kl.mean(0)
        lacking = self.nats - whole_batch(kl).mean()
        if self.damping == 0:
            return kl + self.multiplier * lacking
        price = (self.multiplier + self.damping * lacking).clamp(min=0)
        return kl + (price.square() - self.multiplier**2) / (2 * self.damping)

    def advance(self, terms: PerDatumTerms) -> None:
        """Move the multiplier by what the KL of ``terms`` lacks."""
        lacking = self.nats - terms.total_kl.mean().item()
        self.multiplier = max(0.0, self.multiplier + self.learning_rate * lacking)

    def describe(self) -> dict[str, float]:
        """The multiplier."""
        return {"multiplier": self.multiplier}

    def state_dict(self) -> dict[str, Any]:
        """The multiplier."""
        return {"multiplier": self.multiplier}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` left off."""
        self.multiplier = float(state["multiplier"])
