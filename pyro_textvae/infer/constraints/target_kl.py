# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The distance of the batch's mean KL from a target."""

from __future__ import annotations

from torch import Tensor

from pyro_textvae.infer.constraint import KLConstraint, checked_amount
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.shared_batch import whole_batch


class TargetKL(KLConstraint):
    r"""The distance of the mean KL of a batch from a target; the KL is that of all latents.

    .. math::
        C_n = \text{weight} \, \Big| \frac{1}{N} \sum_m \mathrm{KL}_m - \text{nats} \Big|

    Every sentence has this one number. The mean is over all sentences of the batch, as in the
    authors' code, not taken after the distance; one that is masked counts with a KL of 0. At
    equality there is no gradient.

    Source: Burgess et al. (2018), equation 8, https://arxiv.org/abs/1804.03599, where ``nats`` is
    the capacity C and ``weight`` gamma; Prokhorov et al. (2019), https://arxiv.org/abs/1909.13668,
    for text, with a weight of 1.

    >>> import torch
    >>> terms = PerDatumTerms(
    ...     log_likelihood=torch.zeros(1, 2), log_ratio={}, kl={"z": torch.tensor([[1.0, 3.0]])},
    ...     scale=1.0,
    ... )
    >>> TargetKL(nats=5.0)(terms)
    tensor([3., 3.])

    :param nats: the KL to hold.
    :param weight: nats of loss for each nat of distance. Where a nat of KL is worth more to the
        reconstruction than this, the KL is above the target.
    :raises ValueError: for a negative number, or one that is not finite.
    """

    is_of_whole_batch = True

    def __init__(self, nats: float, weight: float = 1.0) -> None:
        self.nats = checked_amount("nats", nats)
        self.weight = checked_amount("weight", weight)

    def __call__(self, terms: PerDatumTerms) -> Tensor:
        """What stands in the KL's place, ``(N,)`` nats."""
        distance = (whole_batch(terms.total_kl, 1).mean() - self.nats).abs()
        return (self.weight * distance).expand(terms.log_likelihood.shape[1])
