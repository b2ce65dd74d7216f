# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a network makes of those rows of documents that there are."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pyro_textvae.shared_batch import can_be_picked, of_sentences


def of_rows_there(function: Callable[[Tensor], Tensor], rows: Tensor, there: Tensor) -> Tensor:
    """What ``function`` makes of each row by itself, and zeros where there is none.

    >>> import torch
    >>> there = torch.tensor([[True, False]])
    >>> of_rows_there(lambda rows: rows + 1, torch.ones(1, 2, 1), there).tolist()
    [[[2.0], [0.0]]]

    :param function: of rows ``(M, ...)``, which gives back ``(M, *F)``.
    :param rows: ``(*B, ...)``.
    :param there: which of them there are, ``B``, such as ``(N, S)``.
    :returns: ``(*B, *F)``.
    """
    if not can_be_picked(there):
        return function(rows.flatten(0, there.dim() - 1)).unflatten(0, there.shape)
    with of_sentences(there):
        made = function(rows[there])
    return made.new_zeros((*there.shape, *made.shape[1:])).index_put((there,), made)
