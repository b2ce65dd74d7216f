# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a batch is, and what it must be, said where one is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.contract import TEXT_FIELDS, TOKENS
from pyro_textvae.errors import UserError

_EXAMPLE = "{'tokens': ids}, ids int64 (N, T)"


class Fields(dict[str, Tensor]):
    """The fields of a batch, and which of them are text.

    :param text_fields: names of the fields that hold ids, padded on the right.
    """

    def __init__(
        self, fields: Mapping[str, Tensor], text_fields: tuple[str, ...] = TEXT_FIELDS
    ) -> None:
        super().__init__(fields)
        self.text_fields = text_fields


def text_fields_of(batch: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Names of the fields of ``batch`` that hold ids: its own, or ``tokens`` and ``source``."""
    return getattr(batch, "text_fields", TEXT_FIELDS)


def check_batch(batch: Any) -> None:
    """Refuse what is no dict of names to tensors, each with the datum first.

    >>> check_batch({"tokens": [[4, 5, 2]]})
    Traceback (most recent call last):
    ...
    pyro_textvae.errors.UserError: field 'tokens' of a batch must be a tensor, got a list

    :raises UserError: with what it is, or the field and what that is.
    """
    if not isinstance(batch, Mapping):
        raise UserError(f"a batch is a dict of tensors such as {_EXAMPLE}, got {_kind(batch)}")
    for name, field in batch.items():
        if not isinstance(name, str):
            raise UserError(f"fields of a batch are named by text, got {name!r}")
        if not isinstance(field, Tensor):
            raise UserError(f"field {name!r} of a batch must be a tensor, got {_kind(field)}")
        shape = tuple(field.shape)
        if not shape or field.is_meta:
            raise UserError(
                f"field {name!r} of a batch must have a row for each sentence, got shape {shape} "
                f"on {field.device}"
            )
        # A program may be of numbers in place of ids, which networks with a vocabulary refuse.
        if name not in text_fields_of(batch) or field.is_floating_point():
            continue
        if len(shape) < 2 or 0 in shape[1:] or field.dtype not in (torch.int64, torch.int32):
            raise UserError(
                f"field {name!r} of a batch must be ids, int64 (N, T), got shape {shape} and type "
                f"{field.dtype}"
            )
    sizes = {name: len(field) for name, field in batch.items()}
    if len(set(sizes.values())) > 1:
        raise UserError(f"the fields of a batch have a row for each sentence, got {sizes}")


def check_text(batch: Any) -> None:
    """Refuse what is no batch of text.

    :raises UserError: as :func:`check_batch`, without ``tokens``, and without a sentence.
    """
    check_batch(batch)
    if TOKENS not in batch:
        raise UserError(f"the batch has no field {TOKENS!r}: it has {', '.join(batch) or 'none'}")
    if not len(batch[TOKENS]):
        raise UserError("a batch must have at least 1 sentence, got 0")


def check_batches(batches: Iterable[Any]) -> None:
    """Refuse one batch, or its ids alone, where several batches are taken.

    :raises UserError: with what it is.
    """
    if isinstance(batches, Mapping):
        raise UserError("batches is one batch: give a list of them, [batch]")
    if isinstance(batches, Tensor | str) or not isinstance(batches, Iterable):
        raise UserError(
            f"batches must be a list, or another iterable, of dicts such as {_EXAMPLE}, "
            f"got {_kind(batches)}"
        )


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
