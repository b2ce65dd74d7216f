# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Free bits: each part of z may carry some nats for nothing."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.shared_batch import whole_batch

Group = Literal["site", "dimension"]
Mean = Literal["sentence", "batch_mean"]


class FreeBits(KLConstraint):
    r"""Replaces the KL of each group of latents by ``nats`` where it is lower.

    .. math::
        C_n = \sum_g \max(\text{nats}, \mathrm{KL}_{ng})
        \qquad \text{or} \qquad
        C_n = \sum_g \max\Big(\text{nats}, \frac{1}{N} \sum_m \mathrm{KL}_{mg}\Big)

    A group g is a latent site or, with ``per="dimension"``, one dimension of one. The first form,
    ``over="sentence"``, has a maximum in each sentence n; in the second, ``over="batch_mean"``, all
    sentences have the one number. The mean is over all N sentences of the batch; one that is masked
    counts with a KL of 0. Below ``nats`` a group has no gradient; at equality it has the gradient
    of the KL. A KL without closed form is the mean of log q - log p over the particles, whose noise
    is clamped too: take several.

    Source: Kingma et al. (2016), https://arxiv.org/abs/1606.04934: equation 15 for
    ``over="batch_mean"``, appendix C.8; ``over="sentence"`` is the same without the mean.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.zeros(1, 2), log_ratio={}, kl={"z": torch.tensor([[0.5, 3.0]])},
    ...     scale=1.0,
    ... )
    >>> FreeBits(nats=2.0)(terms)
    tensor([2., 3.])
    >>> FreeBits(nats=2.0, over="batch_mean")(terms)
    tensor([2., 2.])

    :param nats: what each group is free to carry.
    :param per: what a group is: ``"site"`` or ``"dimension"``.
    :param over: what the maximum is taken of: the KL of each ``"sentence"``, or the
        ``"batch_mean"``.
    :raises ValueError: for another ``per`` or ``over``; when called with ``per="dimension"``, for a
        site whose KL has no closed form for each dimension.
    """

    def __init__(self, nats: float, per: Group = "site", over: Mean = "sentence") -> None:
        self.nats = checked_amount("nats", nats)
        for name, value, choices in (("per", per, Group), ("over", over, Mean)):
            if value not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}"
                )
        self.per = per
        self.over = over
        self.is_of_whole_batch = over == "batch_mean"

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        total = torch.zeros_like(terms.log_likelihood[0])
        for kl in _kl_of_groups(terms, self.per):
            total = total + self._mean(kl).clamp(min=self.nats).sum(-1)
        return total

    def warnings(self, terms: PerDatumTerms) -> list[str]:
        """Whether it clamps the noise of a KL that is drawn."""
        drawn = [n for n, kl in terms.kl.items() if n not in terms.closed_form and len(kl) == 1]
        if self.over == "batch_mean" or not drawn:
            return []
        return [
            f"the KL of {drawn[0]!r} has no closed form, and free_bits clamps that of one draw "
            f"with its noise: sentences pay before they carry {self.nats:g} nats. Take "
            "over=batch_mean, or several particles"
        ]

    def _mean(self, kl: Tensor) -> Tensor:
        """Of the KL of groups, ``(K, N, G)``, over the particles and, if asked, over the batch."""
        if self.over == "sentence":
            return kl.mean(0)
        kl = whole_batch(kl, 1)
        # Sums in the order of earlier versions, whose runs resume with the same rounding.
        return kl.mean(0).mean(0) if self.per == "dimension" else kl.mean().unsqueeze(0)


def _kl_of_groups(terms: PerDatumTerms, per: Group) -> list[Tensor]:
    """The KL of the groups of each latent site, ``(K, N, G)`` nats."""
    if per == "site":
        return [kl.unsqueeze(-1) for kl in terms.kl.values()]
    return list(kl_per_dimension(terms).values())


def kl_per_dimension(terms: PerDatumTerms) -> dict[str, Tensor]:
    """The KL of each dimension of each latent site, ``(K, N, D)`` or ``(1, N, D)`` nats.

    :raises ValueError: with the site's name, where it has no closed form.
    """
    parts: dict[str, list[Tensor]] = {}
    for sites in terms.passes:
        for site in sites:
            parts.setdefault(site.name, []).append(site.kl_per_dimension())
            if site.name not in terms.closed_form:
                raise ValueError(
                    f"the KL of site {site.name!r} has no closed form for each dimension, for the "
                    "model draws it after a latent that the guide draws later: constrain the whole "
                    'site, such as with free_bits and per="site"'
                )
    return {name: torch.cat(of_site) for name, of_site in parts.items()}
