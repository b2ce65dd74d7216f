# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is of all sentences of a batch, in a pass that is of a share of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.processes import sum_of_all
from pyro_textvae.shared_batch.layout import Place, present_layout
from pyro_textvae.shared_batch.share import Share, present_share, sharing


def whole_batch(values: Tensor, dim: int = 0) -> Tensor:
    """The values of all sentences of the batch, with their gradient, from those of the pass.

    A loss of the whole batch, computed in each process for its own sentences, then has the gradient
    of one process. Where the pass is of a whole batch it is ``values`` itself.

    >>> whole_batch(torch.ones(3))
    tensor([1., 1., 1.])

    :param dim: which dimension has the sentences.
    :raises UserError: where the process takes its sentences in several parts.
    """
    share = present_share()
    if share is None:
        return values
    dim %= values.dim()
    place = Place(dim, 1, share.start, share.size, share.total)
    return _Whole.apply(values, place, share)


def field_of_whole_batch(rows: Tensor) -> Tensor:
    """The field of the whole batch of which the pass has ``rows``; ``rows`` where there is none."""
    share = present_share()
    if share is None:
        return rows
    for whole in share.fields.values():
        own = whole[share.start : share.stop]
        if own.shape == rows.shape and own.data_ptr() == rows.data_ptr():
            return whole
    return rows


def size_of_batch(count: int) -> int:
    """Sentences of the whole batch, where a pass is of ``count``."""
    share = present_share()
    return count if share is None else share.total


def first_of_own_rows() -> int:
    """Where the sentences of the pass begin in the batch."""
    share = present_share()
    return 0 if share is None else share.start


def drawn_for_whole_batch(draw: Callable[[Tensor], Tensor], parameter: Tensor) -> Tensor:
    """``draw(parameter)``, where how many random numbers that takes hangs on the parameter.

    All processes draw for the whole batch, and keep what is of their sentences.

    >>> drawn_for_whole_batch(torch.exp, torch.zeros(2))
    tensor([1., 1.])

    :param draw: gives a tensor with the parameter's shape, without gradients.
    """
    share = present_share()
    place = None if share is None else present_layout().find(parameter.shape, share)
    if share is None or place is None:
        return draw(parameter)
    whole = gathered(parameter, place, share)
    with sharing(None):
        return place.narrow(draw(whole)).contiguous()


def gathered(values: Tensor, place: Place, share: Share) -> Tensor:
    """The tensor of the whole batch, without gradients.

    :raises UserError: where the process takes its sentences in several parts.
    """
    if share.is_part:
        raise UserError(
            "accumulate takes a batch in parts, and something here is of all its sentences at "
            "once, such as a statistic of the batch or a draw by rejection: take "
            "accumulate_batches, whose batches are taken for themselves"
        )
    own = values.detach()
    whole = place.spread(own if share.is_counted else torch.zeros_like(own), 0.0)
    return sum_of_all(whole)


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, place: Place, share: Share) -> Tensor:
        ctx.place, ctx.share = place, share
        return gathered(values, place, share)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = outer
        own = ctx.place.narrow(sum_of_all(gradient.contiguous().clone()))
        return own if ctx.share.is_counted else torch.zeros_like(own), None, None
