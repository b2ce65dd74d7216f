# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences as vectors: what the guide makes of them, for other programs to use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.generation.posteriors import is_discrete, posterior_point, posterior_sites
from pyro_textvae.generation.rows import data_dim
from pyro_textvae.infer.batches import check_batches, check_text
from pyro_textvae.infer.running import evaluation_mode


@dataclass(frozen=True, eq=False)
class Embedding:
    """The posteriors of some sentences, by latent site.

    points
        Posterior means, see :func:`~pyro_textvae.generation.posterior_point`, ``(N, ...)``.
        A latent whose value is given for all N sentences, as a label may be, is none of them.
    variances
        Of the posterior in each dimension, ``(N, ...)``, of latents that are not discrete; empty
        unless asked for.
    discrete
        The sites whose points are the likeliest of a countable set of values.
    """

    points: dict[str, Tensor]
    variances: dict[str, Tensor]
    discrete: tuple[str, ...] = ()


def embed(
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    variances: bool = False,
    seed: int = 0,
) -> Iterator[Embedding]:
    """The posteriors of every batch, one after the other, in the order of their rows.

    >>> import torch
    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.nn import LSTMEncoder
    >>> guide = GaussianGuide(LSTMEncoder(vocab_size=9, embedding_dim=4, hidden_dim=5), 2)
    >>> batches = [{"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}]
    >>> [each.points["z"].shape for each in embed(guide, batches)]
    [torch.Size([2, 2])]

    :param variances: whether to give these too.
    :raises UserError: for a guide without a latent, and for variances that have no formula.
    """
    check_batches(batches)
    for batch in batches:
        check_text(batch)
        # Left before the caller goes on: what it does belongs to no evaluation.
        with evaluation_mode(guide, guide, seed):
            sites, _ = posterior_sites(guide, batch, mean=True)
            sites = [(name, site) for name, site in sites if not _is_given(site)]
            if variances and all(is_discrete(site["fn"]) for _, site in sites):
                raise UserError(
                    f"the latent {sites[0][0]!r} is discrete and has no variance: leave it out"
                )
            points, spread = {}, {}
            for name, site in sites:
                dim = data_dim(site)
                points[name] = posterior_point(site["fn"]).movedim(dim, 0).cpu()
                if variances and not is_discrete(site["fn"]):
                    spread[name] = _variance(name, site["fn"]).movedim(dim, 0).cpu()
            discrete = tuple(name for name, site in sites if is_discrete(site["fn"]))
        yield Embedding(points, spread, discrete)


def _is_given(site: Mapping[str, Any]) -> bool:
    """Whether every sentence of a batch has the value given, as a label, so it is no latent."""
    mask = site["mask"]
    return isinstance(mask, Tensor) and not bool(mask.any())


def _variance(name: str, fn: object) -> Tensor:
    try:
        variance: Tensor = fn.variance  # type: ignore[attr-defined]
    except NotImplementedError as error:
        raise UserError(
            f"the posterior of {name!r}, a {type(fn).__name__}, has no formula for its variance: "
            "leave the variances out"
        ) from error
    return variance
