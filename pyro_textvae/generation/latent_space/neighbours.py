# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentences of a corpus that a sentence is near to in the latent space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.generation.posteriors import is_discrete, posterior_point, posterior_sites
from pyro_textvae.generation.rows import data_dim
from pyro_textvae.infer.batches import check_batches, check_text
from pyro_textvae.infer.running import evaluation_mode

Measure = Literal["mean", "kl"]
"""What is near: the distance of posterior means, or the symmetrised KL of posteriors."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest sentences, the nearest first.

    indices
        Their places among the sentences that were looked at, or in the split where batches know
        them, ``(size,)``.
    distances
        Euclidean between posterior means, or the symmetrised KL in nats, ``(size,)`` float64.
    tokens
        Ids ``(size, T)``.
    """

    indices: Tensor
    distances: Tensor
    tokens: Tensor


def neighbours(
    guide: nn.Module,
    query: Mapping[str, Tensor],
    batches: Iterable[Mapping[str, Tensor]],
    *,
    by: Measure = "mean",
    size: int = 5,
    seed: int = 0,
) -> Neighbours:
    r"""The sentences nearest to one: by posterior mean, or by the symmetrised KL of posteriors.

    .. math::
        d_{\text{mean}}(x, y) = \lVert \mu(x) - \mu(y) \rVert, \qquad
        d_{\text{kl}}(x, y) = \mathrm{KL}(q_x, q_y) + \mathrm{KL}(q_y, q_x)

    The second knows how sure the guide is of every dimension: where posteriors are as wide as the
    prior, means that differ say little. Of several latents the first is of all together, but of
    discrete ones, such as a label: those have no mean, and the others are taken as they are at the
    likeliest value.

    Source: Kullback and Leibler (1951), On Information and Sufficiency,
    https://doi.org/10.1214/aoms/1177729694, for the symmetrised divergence.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.nn import LSTMEncoder
    >>> guide = GaussianGuide(LSTMEncoder(vocab_size=9, embedding_dim=4, hidden_dim=5), 2)
    >>> corpus = [{"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}]
    >>> neighbours(guide, {"tokens": torch.tensor([[6, 2]])}, corpus, size=1).indices
    tensor([1])

    :param query: one sentence, and what the guide needs besides.
    :param batches: the sentences that are looked at.
    :param size: how many to return; fewer where there are no more.
    :raises ValueError: for another number of sentences than one.
    :raises UserError: for latents that the measure is not defined for, and where there is no
        sentence to look at.
    """
    size = check_argument("size", size, int, at_least(1))
    by = check_argument("by", by, Measure)
    check_text(query)
    check_batches(batches)
    if len(query[TOKENS]) != 1:
        raise ValueError(f"neighbours are of one sentence, got {len(query[TOKENS])}")
    best: list[tuple[float, int, Tensor]] = []
    seen = 0
    with evaluation_mode(guide, guide, seed):
        sites, _ = posterior_sites(guide, query, mean=True)
        _check(sites, by)
        for batch in batches:
            check_text(batch)
            others, _ = posterior_sites(guide, batch, mean=True)
            measured = _distances_of_means if by == "mean" else _symmetrised_kl
            distances = measured(sites, others).cpu()
            places = getattr(batch, "indices", torch.arange(seen, seen + len(distances)))
            seen += len(distances)
            nearest = distances.topk(min(size, len(distances)), largest=False).indices.tolist()
            best += [(distances[n].item(), int(places[n]), batch[TOKENS][n]) for n in nearest]
            best = sorted(best, key=lambda each: each[:2])[:size]
    if not best:
        raise UserError("there is no sentence to look for neighbours among: the split is empty")
    return Neighbours(
        torch.tensor([place for _, place, _ in best]),
        torch.tensor([distance for distance, _, _ in best], dtype=torch.float64),
        torch.nn.utils.rnn.pad_sequence([row for _, _, row in best], batch_first=True),
    )


def _check(sites: list[tuple[str, Any]], by: Measure) -> None:
    if by == "mean":
        if all(is_discrete(site["fn"]) for _, site in sites):
            raise UserError(f"the latent {sites[0][0]!r} is discrete and has no mean: use by=kl")
        return
    if len(sites) > 1:
        raise UserError(
            f"the latents {', '.join(name for name, _ in sites)} may depend on each other, and the "
            "KL of all together is not known: use by=mean"
        )
    (name, site) = sites[0]
    try:
        kl_divergence(site["fn"], site["fn"])
    except NotImplementedError as error:
        raise UserError(
            f"the KL between posteriors of {name!r} has no formula for "
            f"{type(site['fn']).__name__}: use by=mean"
        ) from error


def _distances_of_means(sites: list[tuple[str, Any]], others: list[tuple[str, Any]]) -> Tensor:
    one, many = (
        {
            name: posterior_point(site["fn"]).movedim(data_dim(site), 0)
            for name, site in each
            if not is_discrete(site["fn"])
        }
        for each in (sites, others)
    )
    return distances_of_points(one, many)


def distances_of_points(one: Mapping[str, Tensor], many: Mapping[str, Tensor]) -> Tensor:
    """How far the latents of many sentences are from those of one, all sites together.

    >>> one, many = {"z": torch.tensor([[3.0, 4.0]])}, {"z": torch.tensor([[0.0, 0.0], [3.0, 0.0]])}
    >>> distances_of_points(one, many)
    tensor([5., 4.], dtype=torch.float64)

    :param one: points by latent site, ``(1, ...)``, as :func:`~pyro_textvae.generation.encode`
        gives them.
    :param many: points of the same sites, ``(N, ...)``.
    :returns: ``(N,)`` float64.
    """
    squares = [
        (many[name].double() - point.double()).flatten(1).square().sum(1)
        for name, point in one.items()
    ]
    return torch.stack(squares).sum(0).sqrt()


def _symmetrised_kl(sites: list[tuple[str, Any]], others: list[tuple[str, Any]]) -> Tensor:
    ((_, one),), ((_, many),) = sites, others
    query = one["fn"].expand(many["fn"].batch_shape)
    both = kl_divergence(query, many["fn"]) + kl_divergence(many["fn"], query)
    rows = both.movedim(data_dim(many) + many["fn"].event_dim, 0)
    return rows.flatten(1).sum(1).double() if rows.dim() > 1 else rows.double()
