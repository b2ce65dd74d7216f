# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The mean of the posteriors of a split, one component a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

_PAIRS_AT_ONCE = 2**21
_ELEMENTS_AT_ONCE = 2**20


class AggregateLogProb(NamedTuple):
    """Log-densities of draws, ``(S,)`` float64, in nats."""

    own: Tensor
    """log q(z_s | x_n), n being the sentence that the draw is of."""
    included: Tensor
    """log q_N(z_s), over all sentences."""
    left_out: Tensor
    """The same over all sentences but the draw's own; ``-inf`` where there is no other."""

    @classmethod
    def of_pairs(cls, log_q: Tensor, sentence: Tensor) -> AggregateLogProb:
        """From log q(z_s | x_n) ``(S, N)`` of every draw under every sentence, which is used up."""
        count = log_q.shape[1]
        itself = sentence.unsqueeze(1)
        own = log_q.gather(1, itself).squeeze(1)
        # All others first: the draw's own term, usually the largest, would hide them.
        left_out = log_q.scatter_(1, itself, -torch.inf).logsumexp(1)
        included = torch.logaddexp(own, left_out).sub_(math.log(count))
        return cls(own, included, left_out.sub_(math.log(max(count - 1, 1))))


class AggregatePosterior:
    """q_N(z) = (1/N) sum_n q(z | x_n), evaluated exactly: S draws against all N sentences.

    Time grows as S x N, memory does not: the pairs are taken in blocks. Diagonal Gaussians are
    done by matrix products in float64, other families by their own ``log_prob``, which is slower.

    :param posteriors: one distribution for each batch of sentences, ``batch_shape`` ``(N_b,)``.
    """

    def __init__(self, posteriors: Sequence[Any]) -> None:
        self.count = sum(posterior.batch_shape[0] for posterior in posteriors)
        self.posteriors = list(posteriors)
        self._gaussian: _GaussianProducts | None = None
        factors = [independent_factors(posterior) for posterior in posteriors]
        normals = [base for base in factors if isinstance(base, Normal)]
        if len(normals) == len(factors):
            loc = torch.cat([base.loc.double() for base in normals])
            scale = torch.cat([base.scale.double() for base in normals])
            self.posteriors = [Independent(Normal(loc, scale), 1)]
            self._gaussian = _GaussianProducts(loc, scale)

    @property
    def factorises(self) -> bool:
        """Whether every component is a product over the dimensions of z."""
        return all(independent_factors(posterior) is not None for posterior in self.posteriors)

    def log_prob(self, z: Tensor, sentence: Tensor) -> AggregateLogProb:
        """Densities of draws.

        :param z: ``(S, *event)``.
        :param sentence: the number of the sentence that each draw is of, ``(S,)``.
        """
        # Results are written in place: small ones kept between the large blocks of a loop would
        # keep the C library from using the memory of one block for the next.
        log_probs = AggregateLogProb(*torch.empty(3, len(z), dtype=torch.float64, device=z.device))
        rows = max(1, _PAIRS_AT_ONCE // self.count)
        for start in range(0, len(z), rows):
            block = slice(start, start + rows)
            part = AggregateLogProb.of_pairs(self._pairs(z[block]), sentence[block])
            for whole, values in zip(log_probs, part, strict=True):
                whole[block] = values
        return log_probs

    def marginal_log_prob(self, z: Tensor) -> Tensor:
        """log q_N(z_sj) of each dimension alone, ``(S, D)`` float64, for ``z`` ``(S, D)``.

        :raises ValueError: when the posteriors are no products over the dimensions.
        """
        total = z.new_full(z.shape, -torch.inf, dtype=torch.float64)
        for posterior in self.posteriors:
            base = independent_factors(posterior)
            if base is None:
                raise ValueError(
                    f"the marginals of q_N need posteriors that are products over the dimensions, "
                    f"got {type(posterior).__name__}: leave total_correlation out"
                )
            rows = max(1, _ELEMENTS_AT_ONCE // (posterior.batch_shape[0] * z.shape[1]))
            for start in range(0, len(z), rows):
                block = slice(start, start + rows)
                part = base.log_prob(z[block].unsqueeze(1)).double().logsumexp(1)
                total[block] = torch.logaddexp(total[block], part)
        return total - math.log(self.count)

    def _pairs(self, z: Tensor) -> Tensor:
        """log q(z_s | x_n), ``(S, N)`` float64."""
        if self._gaussian is not None:
            return self._gaussian(z.double())
        pairs = z.new_empty(len(z), self.count, dtype=torch.float64)
        first = 0
        for posterior in self.posteriors:
            last = first + posterior.batch_shape[0]
            rows = max(1, _ELEMENTS_AT_ONCE // ((last - first) * posterior.event_shape.numel()))
            for start in range(0, len(z), rows):
                block = slice(start, start + rows)
                pairs[block, first:last] = posterior.log_prob(z[block].unsqueeze(1))
            first = last
        return pairs


class _GaussianProducts:
    """Densities of diagonal Gaussians, with the squares multiplied out: one matrix product."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        # What all means share would cancel: at a distance of 1e3 scales that is 6 digits.
        self._centre = loc.mean(0)
        loc = loc - self._centre
        precision = scale.square().reciprocal()
        self._weights = torch.cat([-0.5 * precision, precision * loc], 1).T
        self._offset = (
            -0.5 * (precision * loc.square()).sum(-1)
            - scale.log().sum(-1)
            - 0.5 * loc.shape[-1] * math.log(2 * math.pi)
        )

    def __call__(self, z: Tensor) -> Tensor:
        z = z - self._centre
        return torch.addmm(self._offset, torch.cat([z.square(), z], 1), self._weights)


def independent_factors(fn: Any) -> Any | None:
    """The factors of a distribution over a vector, ``batch_shape`` ``(N, D)``.

    None unless it is a product over its dimensions that says so: ``Independent`` around a
    distribution of single numbers.
    """
    if isinstance(fn, Independent) and fn.reinterpreted_batch_ndims == 1:
        base: Any = fn.base_dist
        return base if base.event_shape == () else None
    return None
