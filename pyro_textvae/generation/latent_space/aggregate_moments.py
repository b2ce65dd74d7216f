# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where the latents of a corpus lie: the mean and covariance of the aggregate posterior."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pyro_textvae.distributions.sphere import great_circle, unit_vector
from pyro_textvae.errors import UserError
from pyro_textvae.generation.posteriors import is_discrete, posterior_sites
from pyro_textvae.generation.rows import data_dim
from pyro_textvae.infer.batches import check_batches
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.infer.supports import support_of

_JITTER = 1e-6


@dataclass(frozen=True, eq=False)
class AggregateMoments:
    r"""Moments of one latent over a corpus, and the way between two points that keeps to them.

    In the coordinates :math:`u = L^{-1} (z - m)`, where the aggregate has mean zero and covariance
    one, almost all of it is about as far from zero as the root of the dimension: the straight line
    between two sentences passes where no sentence is. The way here turns from one end to the other
    there, and its distance from zero changes evenly.

    Source: White (2016), Sampling Generative Networks, section 2, https://arxiv.org/abs/1609.04468.

    >>> moments = AggregateMoments(torch.zeros(2), torch.eye(2))
    >>> way = moments.way(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0]), torch.tensor([0.5]))
    >>> way.norm(dim=-1)
    tensor([3.0000])

    :param mean: m ``(D,)``.
    :param factor: L, lower triangular, ``(D, D)``, with the covariance :math:`L L^T`.
    """

    mean: Tensor
    factor: Tensor

    def way(self, start: Tensor, end: Tensor, share: Tensor) -> Tensor:
        """Points between two, ``(S, ..., D)`` for ``share`` ``(S,)`` from 0 to 1."""
        mean, factor = self.mean.to(start), self.factor.to(start)
        ends = [
            torch.linalg.solve_triangular(factor, (point - mean).unsqueeze(-1), upper=False)
            for point in (start, end)
        ]
        first, last = (point.squeeze(-1) for point in ends)
        directions = great_circle(unit_vector(first), unit_vector(last), share)
        weight = share.to(start).reshape(-1, *[1] * start.dim())
        norms = torch.lerp(
            first.norm(dim=-1, keepdim=True), last.norm(dim=-1, keepdim=True), weight
        )
        return mean + (factor @ (norms * directions).unsqueeze(-1)).squeeze(-1)


def aggregate_moments(
    guide: nn.Module, batches: Iterable[Mapping[str, Tensor]], *, seed: int = 0
) -> dict[str, AggregateMoments]:
    """The moments of every latent over the sentences of some batches, of one draw for each.

    :raises UserError: for a latent that is no vector of real numbers, and for fewer than two
        sentences.
    """
    check_batches(batches)
    drawn: dict[str, list[Tensor]] = {}
    with evaluation_mode(guide, guide, seed):
        for batch in batches:
            for name, site in posterior_sites(guide, batch, mean=False)[0]:
                fn = site["fn"]
                if is_discrete(fn) or support_of(fn) != "Real" or len(fn.event_shape) != 1:
                    raise UserError(
                        f"the aggregate posterior of the latent {name!r} has no covariance, as it "
                        "is no vector of real numbers: leave the path a line, which on a sphere is "
                        "an arc"
                    )
                value = site["value"].movedim(data_dim(site), 0).flatten(0, -2)
                drawn.setdefault(name, []).append(value.double().cpu())
    found = {}
    for name, parts in drawn.items():
        draws = torch.cat(parts)
        if len(draws) < 2:
            raise UserError("a covariance needs at least 2 sentences, got 1")
        covariance = draws.T.cov().reshape(draws.shape[1], -1)
        jitter = _JITTER * covariance.diagonal().mean() * torch.eye(len(covariance)).double()
        found[name] = AggregateMoments(draws.mean(0), torch.linalg.cholesky(covariance + jitter))
    return found
