# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Free bits for each dimension of z and each sentence."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.terms import PerDatumTerms


class FreeBitsPerDimension(KLConstraint):
    """sum_j max(nats, KL_nj), for each sentence n and dimension j of every latent site.

    A dimension whose KL lies below ``nats`` in a sentence has no gradient there; at equality it
    has the gradient of the KL.

    Source: Kingma et al. (2016), appendix C.8, without the mean over the batch.

    :param nats: what each dimension is free to carry in each sentence.
    :raises ValueError: when called, for a site whose KL has no closed form for each dimension.
    """

    def __init__(self, nats: float) -> None:
        self.nats = checked_amount("nats", nats)

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        total = torch.zeros_like(terms.log_likelihood[0])
        for kl in kl_per_dimension(terms).values():
            total = total + kl.clamp(min=self.nats).sum(-1)
        return total


def kl_per_dimension(terms: PerDatumTerms) -> dict[str, Tensor]:
    """The KL of each dimension of each latent site, ``(N, D)`` nats, mean over the particles.

    :raises ValueError: with the site's name, where it has no closed form.
    """
    found: dict[str, list[Tensor]] = {}
    for sites in terms.passes:
        for site in sites:
            found.setdefault(site.name, []).append(site.kl_per_dimension())
            if site.name not in terms.closed_form:
                raise ValueError(
                    f"the KL of site {site.name!r} has no closed form for each dimension, for the "
                    "model draws it after a latent that the guide draws later: constrain the whole "
                    "site, such as with free_bits_per_site"
                )
    return {name: torch.cat(parts).mean(0) for name, parts in found.items()}
