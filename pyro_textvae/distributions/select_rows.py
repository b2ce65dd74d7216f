# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Rows of whatever a decoder carries from word to word."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_textvae.distributions.context import Context, Memory


def select_rows(state: Any, rows: Tensor) -> Any:
    """The given rows of every tensor of a decoder's state, in the structure of the state.

    Every tensor of a state has the sentence as its first dimension, so a beam search keeps the
    continuations that it likes best by this alone.

    >>> import torch
    >>> state = (torch.arange(3.0).reshape(3, 1), {"place": 4})
    >>> select_rows(state, torch.tensor([2, 2, 0]))[0].flatten().tolist()
    [2.0, 2.0, 0.0]

    :param state: tensors with the sentence first, in tuples, lists, dicts and contexts; numbers and
        None are what all rows share.
    :param rows: int64 ``(M,)``, in any order, repeated or not.
    :raises TypeError: for anything else in ``state``.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if isinstance(state, Context | Memory):
        return state.index_select(rows)
    if isinstance(state, dict):
        return {name: select_rows(part, rows) for name, part in state.items()}
    if isinstance(state, tuple | list):
        parts = [select_rows(part, rows) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if state is None or isinstance(state, int | float):
        return state
    raise TypeError(
        f"rows of a {type(state).__name__} cannot be selected: a decoder's state is made of "
        "tensors, tuples, lists, dicts and numbers"
    )
