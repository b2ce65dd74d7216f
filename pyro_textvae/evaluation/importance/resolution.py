# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the draws of a latent can be told from each other in the precision of their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_DRAWS = 8


class Resolution:
    """Looks at the draws that are scored, and remembers of which sentences they differ.

    A posterior that is narrower than the rounding of its mean has draws that are all alike. Their
    weights are all alike too, so the error of an estimate by them seems to be zero, and the density
    that they are weighted with is that of a distribution they are not from.

    :param posteriors: of each latent site; those of a site that is discrete are not looked at.
    :param num_sentences: N.
    """

    def __init__(self, posteriors: Mapping[str, Any], num_sentences: int) -> None:
        supports = {name: _support_of(fn) for name, fn in posteriors.items()}
        self._sites = {
            name: support
            for name, support in supports.items()
            if support is not None and not support.is_discrete
        }
        self._differ: Tensor | None = None
        self._num_sentences = num_sentences

    @property
    def lost(self) -> Tensor:
        """The sentences whose draws could not be told apart whenever they were made, ``(N,)``."""
        if self._differ is None:
            return torch.zeros(self._num_sentences, dtype=torch.bool)
        return ~self._differ

    def look(self, latents: Mapping[str, Tensor]) -> None:
        """Take in draws ``(K, N, *inner, *event)`` of each site, of which a few are enough."""
        differ = torch.ones(self._num_sentences, dtype=torch.bool)
        for name, support in self._sites.items():
            draws = latents[name][:_DRAWS].detach()
            if len(draws) < 2:
                return
            ordered = draws.reshape(*draws.shape[:2], -1).sort(0).values
            distinct = 1 + (ordered[1:] != ordered[:-1]).sum(0)  # (N, D)
            told = 2 * distinct > len(draws)
            # A coordinate of a unit vector may well be 1 for all draws around that axis.
            by_coordinate = hasattr(support, "base_constraint") or support.event_dim == 0
            needed = told.shape[1] if by_coordinate else told.shape[1] / 2
            differ &= (told.sum(1) >= needed).cpu()
        self._differ = differ if self._differ is None else self._differ | differ

    def take(self, differ: Tensor) -> None:
        """Take in of which sentences draws differ that were looked at elsewhere, ``(N,)``."""
        self._differ = differ if self._differ is None else self._differ | differ


def _support_of(fn: Any) -> Any | None:
    try:
        return fn.support
    except NotImplementedError:
        return None
