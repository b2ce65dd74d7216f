# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a batch must be, said where one is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

_EXAMPLE = "{'tokens': ids}, ids int64 (N, T)"


def check_batch(batch: Any, *needed: str) -> None:
    """Refuse what is no dict of tensors, or lacks a field.

    >>> check_batch([[4, 5, 2]])
    Traceback (most recent call last):
    ValueError: a batch is a dict of tensors such as {'tokens': ids}, ids int64 (N, T), got a list

    :param needed: names of fields that it must have.
    :raises ValueError: with what it is, or the field and its type.
    """
    if not isinstance(batch, Mapping):
        raise ValueError(f"a batch is a dict of tensors such as {_EXAMPLE}, got {_kind(batch)}")
    for name, value in batch.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"field {name!r} of a batch must be a tensor, got {_kind(value)}")
    for name in needed:
        if name not in batch:
            raise ValueError(
                f"the batch has no field {name!r}: it has {', '.join(batch) or 'none'}"
            )


def check_batches(batches: Iterable[Any]) -> None:
    """Refuse one batch, or its ids alone, where several batches are taken.

    :raises ValueError: with what it is.
    """
    if isinstance(batches, Mapping):
        raise ValueError("batches is one batch: give a list of them, [batch]")
    if isinstance(batches, Tensor | str) or not isinstance(batches, Iterable):
        raise ValueError(
            f"batches must be a list, or another iterable, of dicts such as {_EXAMPLE}, "
            f"got {_kind(batches)}"
        )


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
