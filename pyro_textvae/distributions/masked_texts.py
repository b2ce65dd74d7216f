# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Texts of which a mask tells the ones that there are."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from pyro.distributions import MaskedDistribution
from torch import Tensor

from pyro_textvae.distributions.shape import Shape
from pyro_textvae.shared_batch import can_be_picked, of_sentences


class Texts(Protocol):
    """What :class:`MaskedTexts` asks of a distribution of texts."""

    batch_shape: torch.Size
    event_shape: torch.Size

    def check_value(self, value: Tensor) -> None:
        """Refuse what cannot be scored."""

    def at(self, places: tuple[Tensor, ...]) -> Any:
        """The texts at some places of the last dimensions of ``batch_shape`` alone."""


class MaskedTexts(MaskedDistribution):
    """A distribution of texts, some of which are not there: their score is 0 and never computed.

    What :class:`~pyro_textvae.distributions.AutoregressiveCategorical` returns as its ``mask``. The
    sentences of documents, of which one has more than another, are scored so: those that there are
    go through the network as one batch of M rows, and their scores back to their places.

    >>> import torch
    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=7
    ... )
    >>> there = torch.tensor([[True, True], [True, False]])
    >>> texts = decoder(torch.zeros(2, 2, 3)).mask(there)
    >>> rows = torch.tensor([[[4, 5, 2], [6, 2, 0]], [[7, 2, 0], [2, 0, 0]]])
    >>> (texts.log_prob(rows) != 0).tolist()
    [[True, True], [True, False]]
    """

    base_dist: Texts

    def __init__(self, base_dist: Texts, mask: bool | Tensor) -> None:
        super().__init__(base_dist, mask)
        # As it is given: draws of one batch share it, and what hangs on the text alone is computed
        # once for all of them.
        self.there = mask if isinstance(mask, bool) else mask.bool()

    def expand(self, batch_shape: Shape, _instance: MaskedTexts | None = None) -> MaskedTexts:
        """The same over more rows; stays of this class, as ``pyro.plate`` needs."""
        new = self._get_checked_instance(MaskedTexts, _instance)
        new.there = self.there
        expanded: MaskedTexts = super().expand(batch_shape, new)
        return expanded

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of each row that there is, nats, and 0 of the others."""
        mask, base = self.there, self.base_dist
        if isinstance(mask, bool) or not mask.dim():
            return super().log_prob(value)
        shape = torch.broadcast_shapes(base.batch_shape, value.shape[:-1])
        rows = shape[len(shape) - mask.dim() :]
        mask = mask.expand(rows)
        if not can_be_picked(mask):
            return super().log_prob(value)
        base.check_value(value)
        places = mask.nonzero(as_tuple=True)
        left = value.shape[: max(0, value.dim() - 1 - len(rows))]
        value = value.expand(left + rows + value.shape[-1:])
        picked: Any = (..., *places, slice(None))
        with of_sentences(mask):
            log_prob = base.at(places).log_prob(value[picked])
        return log_prob.new_zeros(shape).masked_scatter(mask, log_prob)
