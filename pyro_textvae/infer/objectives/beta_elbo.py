# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The evidence lower bound with a weight on its KL term."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from pyro_textvae.infer.auxiliary import AuxiliaryLoss
from pyro_textvae.infer.constraint import KLConstraint
from pyro_textvae.infer.kl_schedule import KLSchedule
from pyro_textvae.infer.kl_schedules.constant import ConstantSchedule
from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.site_weights import checked_site_weights, weighted_bound
from pyro_textvae.infer.terms import PerDatumTerms


class BetaELBO(PerDatumELBO):
    r"""The evidence lower bound with a weight on its KL term, for each sentence, in nats.

    .. math::
        \mathbb{E}_{q(z \mid x)} \log p(x \mid z) - \beta \, \mathrm{KL}(q(z \mid x), p(z))

    With beta = 1 it is the evidence lower bound, as ``TraceMeanField_ELBO`` computes it: the KL in
    closed form where it is registered, sampled elsewhere. With any other beta it is no bound, and
    what is reported of a model is always the unweighted one. The weight lives here so that model
    and guide stay the same program in training and in evaluation. It is also that of the KL of
    global latents.

    Where the guide enumerates a site y, all is the mean under q(y | x) of what it is at each value.

    With ``site_weights`` each latent site l and each observed site o has a weight of its own:

    .. math::
        \sum_o w_o \, \mathbb{E} \log p(x_o \mid z)
        - \beta \sum_l w_l \, \mathbb{E} \, \mathrm{KL}(q(z_l \mid x, z_{<l}), p(z_l \mid z_{<l}))

    Where beta times w is at least 1 for every latent and w for every observed site, it is a lower
    bound of log p(x): no KL is negative, for a guide that draws the latents in the model's order,
    and no log-probability of tokens or labels is positive. Otherwise it is no bound.

    Source: Higgins et al. (2017), https://openreview.net/forum?id=Sy2fzU9gl, for a fixed beta;
    Bowman et al. (2016), https://arxiv.org/abs/1511.06349, for annealing.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=tokens)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(tokens, 1.0))
    >>> terms = BetaELBO().terms(model, guide, tokens=torch.tensor([0.0, 2.0]))
    >>> terms.total_kl
    tensor([[0., 2.]])
    >>> from pyro_textvae.infer import LinearSchedule
    >>> objective = BetaELBO(kl_weight=LinearSchedule(num_steps=4))
    >>> objective.advance()
    >>> objective.kl_weight
    0.25

    :param kl_weight: beta, or a schedule of it; :meth:`advance` moves on by one training step, as
        a learning-rate scheduler's ``step`` does.
    :param site_weights: by the name of a site, latent or observed; 1 for any other.
    :raises ValueError: for a weight that is negative or not finite; when it is run, for the name
        of no site, and for the weight of a latent beside a constraint.
    """

    def __init__(
        self,
        kl_weight: float | KLSchedule = 1.0,
        num_particles: int = 1,
        *,
        vectorize_particles: bool = True,
        constraint: KLConstraint | None = None,
        corpus_size: int | None = None,
        max_plate_nesting: float = math.inf,
        site_weights: Mapping[str, float] | None = None,
        auxiliaries: Iterable[AuxiliaryLoss] = (),
    ) -> None:
        super().__init__(
            num_particles,
            vectorize_particles=vectorize_particles,
            constraint=constraint,
            corpus_size=corpus_size,
            max_plate_nesting=max_plate_nesting,
            auxiliaries=auxiliaries,
        )
        self.site_weights = checked_site_weights(site_weights or {})
        if not isinstance(kl_weight, KLSchedule):
            kl_weight = ConstantSchedule(kl_weight)
        self.schedule = kl_weight
        self.step = 0

    @property
    def kl_weight(self) -> float:  # type: ignore[override]
        """beta at the present step."""
        return self.schedule(self.step)

    def advance(self) -> None:
        """Move the schedule on by one training step."""
        super().advance()
        self.step += 1

    def bound(self, terms: PerDatumTerms) -> Tensor:
        """The weighted bound of each sentence, ``(N,)``."""
        if self.site_weights:
            return weighted_bound(terms, self.site_weights, self.kl_weight, self.constraint)
        return (terms.log_likelihood - self.kl_weight * terms.total_kl).mean(0)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"step": self.step, **super().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` left off."""
        self.step = int(state["step"])
        super().load_state_dict(state)
