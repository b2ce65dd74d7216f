# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A Gaussian latent in intervals that its prior gives equal mass."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.special import erfc, ndtri


class NormalBuckets:
    r"""``2 ** bits`` intervals of each dimension of a latent, equally likely under its prior.

    A value stands for its interval by the quantile in the middle of it, so that under the prior
    each costs exactly ``bits`` bits, and under a posterior minus the logarithm of

    .. math::
        q_i = \Phi\bigl((e_{i+1} - \mu) / \sigma\bigr) - \Phi\bigl((e_i - \mu) / \sigma\bigr)

    with the difference taken in the smaller tail, where nothing cancels.

    >>> zeros = torch.zeros(1, dtype=torch.float64)
    >>> buckets = NormalBuckets(zeros, zeros + 1, bits=1)
    >>> buckets.values(torch.tensor([[0], [1]])).tolist()
    [[-0.6744897501960817], [0.6744897501960817]]
    >>> buckets.probabilities(zeros, zeros + 1).tolist()
    [[0.5, 0.5]]

    Source: Townsend, Bird and Barber (2019), Practical Lossless Compression with Latent Variables
    using Bits Back Coding, https://arxiv.org/abs/1901.04866, section 2.5.

    :param loc, scale: of the prior, ``(*B, D)`` in float64.
    """

    def __init__(self, loc: Tensor, scale: Tensor, bits: int) -> None:
        count = 2**bits
        self.bits = bits
        self.loc, self.scale = loc, scale
        places = torch.arange(2 * count + 1, dtype=torch.float64) / (2 * count)
        quantiles = ndtri(places)
        self._edges, self._centres = quantiles[::2], quantiles[1::2]

    def values(self, indices: Tensor) -> Tensor:
        """The values that stand for intervals ``(*B, D)``, in the same shape."""
        return self.loc + self.scale * self._centres[indices]

    def probabilities(self, loc: Tensor, scale: Tensor) -> Tensor:
        """The mass that a Gaussian ``(*B, D)`` gives each interval, ``(*B, D, 2 ** bits)``."""
        edges = self.loc.unsqueeze(-1) + self.scale.unsqueeze(-1) * self._edges
        standard = (edges - loc.unsqueeze(-1)) / scale.unsqueeze(-1)
        low, high = standard[..., :-1], standard[..., 1:]
        above = low > 0
        return _below(torch.where(above, -low, high)) - _below(torch.where(above, -high, low))

    def bits_for(self, scale: Tensor) -> int:
        r"""The fewest bits with which no interval at the mode is wider than half of any scale.

        The interval at the mode is :math:`\sqrt{2 \pi} \, 2^{-b}` prior scales wide.

        :param scale: of posteriors, ``(*B, D)``, or of the first of them.
        """
        narrowest = float((scale / self.scale[: len(scale)]).min())
        return max(1, math.ceil(math.log2(2 * math.sqrt(2 * math.pi) / narrowest)))


def _below(standard: Tensor) -> Tensor:
    """The standard normal distribution function; ``torch.special.ndtr`` is 0 below -8.3."""
    return erfc(standard / -math.sqrt(2)) / 2
