# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A reward for the information that z carries about the sentence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.latent_site import LatentSite, by_datum
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.shared_batch import first_of_own_rows, whole_batch


class MutualInformation(KLConstraint):
    r"""A reward for the information that z carries about the sentence.

    .. math::
        C_n = \mathrm{KL}_n - \text{weight} \, I_n,
        \qquad I_n = \log q(z_n \mid x_n) - \log \frac{1}{M} \sum_{m=1}^M q(z_n \mid x_m)

    The mean of I_n estimates the mutual information of z and x under the guide, and cannot exceed
    log M. The mixture has the posteriors of the batch and those of up to ``memory`` sentences of
    earlier steps, so it nears the aggregate posterior of the corpus where that of a batch alone
    stops at the log of its size. With a weight of 1 the KL's place is taken by
    KL(q(z), p(z)), the aggregate's.

    The gradient is that through the draws, the posteriors' parameters in the densities held fixed.
    This is no approximation: under the whole aggregate the mean of what is left out is 0, while a
    gradient through the batch's own components, without those of the memory, has another mean.

    The memory takes in the batch of the last call with gradients at each :meth:`advance`. A
    sentence seen twice within it counts twice. Float64, for a matrix product of float32 is wrong by
    a nat at a scale of 0.01; time and space grow as K N (memory + N).

    Source: Zhao et al. (2019), https://arxiv.org/abs/1706.02262, for the term; Hoffman & Johnson
    (2016), http://approximateinference.org/accepted/HoffmanJohnson2016.pdf, for the estimate.

    >>> import pyro
    >>> import pyro.distributions as dist
    >>> import torch
    >>> from pyro_textvae.infer import BetaELBO
    >>> def model(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z.squeeze(-1), 1.0), obs=tokens)
    >>> def guide(tokens):
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(tokens.unsqueeze(-1), 0.01).to_event(1))
    >>> terms = BetaELBO().terms(model, guide, tokens=torch.tensor([-1.0, 1.0]))
    >>> constraint = MutualInformation(weight=1.0)
    >>> difference = terms.total_kl[0] - constraint(terms)
    >>> difference  # Two posteriors far apart: log 2 nats each.
    tensor([0.6931, 0.6931])

    :param weight: share of the information that is not charged.
    :param memory: sentences of earlier steps in the mixture; 0 for the batch alone.
    :raises ValueError: when called, for a guide of more than one latent site, or of one that is not
        a diagonal Gaussian.
    """

    needs_gradient_through_draws = True
    is_of_whole_batch = True

    def __init__(self, weight: float, memory: int = 10_000) -> None:
        self.weight = checked_amount("weight", weight)
        if memory < 0:
            raise ValueError(f"memory must be at least 0 sentences, got {memory}")
        self.memory = memory
        self._remembered: tuple[Tensor, Tensor] | None = None
        self._latest: tuple[Tensor, Tensor] | None = None
        self._information: Tensor | None = None

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        count = terms.log_likelihood.shape[1]
        sites = [_only_site(sites) for sites in terms.passes]
        information = torch.cat([self._of_draws(site, count) for site in sites]).mean(0)
        if torch.is_grad_enabled():
            self._latest = _parameters(sites[0], count)
            self._information = whole_batch(information.detach()).mean()
        return terms.total_kl.mean(0) - self.weight * information

    def advance(self, terms: PerDatumTerms) -> None:
        """Take the posteriors of the latest batch into the memory."""
        if self._latest is None:
            return
        batches = [self._latest] if self._remembered is None else [self._remembered, self._latest]
        loc, scale = (
            torch.cat([part.to(self._latest[0]) for part in p]) for p in zip(*batches, strict=True)
        )
        first = max(0, len(loc) - self.memory)
        self._remembered = (loc[first:], scale[first:])
        self._latest = None

    def describe(self) -> dict[str, float]:
        """The estimate on the latest batch, in nats; nothing before the first."""
        if self._information is None:
            return {}
        return {"mutual_information": self._information.item()}

    def state_dict(self) -> dict[str, Any]:
        """The posteriors in the memory, oldest first."""
        return {"remembered": self._remembered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` left off."""
        self._remembered = state["remembered"]
        self._latest = None

    def _of_draws(self, site: LatentSite, count: int) -> Tensor:
        """I of each draw of one pass, ``(K, N)``."""
        loc, scale = (value.double() for value in _parameters(site, count))
        if self._remembered is not None:
            loc = torch.cat([loc, self._remembered[0].to(loc)])
            scale = torch.cat([scale, self._remembered[1].to(scale)])
        draws = site.draw.reshape(-1, loc.shape[-1]).double()
        pairs = _log_prob_of_pairs(draws, loc, scale).reshape(-1, count, len(loc))
        of_own_posterior = pairs.diagonal(first_of_own_rows(), dim1=1, dim2=2)[:, :count]
        information = (of_own_posterior - pairs.logsumexp(-1) + math.log(len(loc))).to(site.draw)
        return by_datum(site.name, site.node, information.reshape(site.posterior.batch_shape))


def _only_site(sites: tuple[LatentSite, ...]) -> LatentSite:
    if len(sites) != 1:
        names = ", ".join(repr(site.name) for site in sites) or "none"
        raise ValueError(
            f"MutualInformation needs one latent site, got {names}: join all latents in one site, "
            "or take another constraint"
        )
    (site,) = sites
    posterior = site.posterior
    if not (
        isinstance(posterior, Independent)
        and isinstance(posterior.base_dist, Normal)
        and len(posterior.event_shape) == 1
    ):
        family = type(getattr(posterior, "base_dist", posterior)).__name__
        shape = tuple(posterior.event_shape)
        raise ValueError(
            f"MutualInformation needs a diagonal Gaussian guide, Normal(...).to_event(1), and that "
            f"of site {site.name!r} is {family} of event shape {shape}: take --guide gaussian or "
            "another constraint"
        )
    return site


def _parameters(site: LatentSite, count: int) -> tuple[Tensor, Tensor]:
    """loc and scale of each sentence of the batch, ``(N, D)``, without gradients."""
    base = site.posterior.base_dist
    size = site.posterior.event_shape.numel()
    loc, scale = (value.detach().reshape(-1, count, size)[0] for value in (base.loc, base.scale))
    return whole_batch(loc), whole_batch(scale)


def _log_prob_of_pairs(draws: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """log N(z_s; loc_m, scale_m), ``(S, M)``: the squares multiplied out, one matrix product."""
    # What all means share would cancel.
    centre = loc.mean(0)
    draws, loc = draws - centre, loc - centre
    precision = scale.square().reciprocal()
    weights = torch.cat([-0.5 * precision, precision * loc], 1).T
    offset = (
        -0.5 * (precision * loc.square()).sum(-1)
        - scale.log().sum(-1)
        - 0.5 * loc.shape[-1] * math.log(2 * math.pi)
    )
    return torch.addmm(offset, torch.cat([draws.square(), draws], 1), weights)
