# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A number of what each sentence of a batch says, found for all of them at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

# Odd numbers of 64 bits: from splitmix64, as signed integers.
_STEP, _FIRST, _SECOND = -7046029254386353131, -4658895280553007687, -7723592293110705685


def sentence_hashes(batch: Mapping[str, Tensor]) -> Tensor:
    """63 bits of the fields of each sentence, ``(N,)`` int64, whatever its padding is.

    The sum over the places of a field of its value times an odd number that belongs to field and
    place, modulo 2^64; padding, being 0, adds nothing. Two sentences have the same with a
    probability of about 2^-60.

    >>> alone = sentence_hashes({"tokens": torch.tensor([[4, 5, 2]])})
    >>> padded = sentence_hashes({"tokens": torch.tensor([[4, 2, 5, 0], [4, 5, 2, 0]])})
    >>> (padded == alone).tolist()
    [False, True]

    Source: Steele et al. (2014), Fast splittable pseudorandom number generators,
    https://doi.org/10.1145/2660193.2660195, for the numbers of the places.

    :param batch: fields with the datum first.
    """
    total = torch.zeros((), dtype=torch.int64)
    for name in sorted(batch):
        value = batch[name]
        if value.is_floating_point():
            value = value.double().view(torch.int64)
        value = value.long().reshape(len(value), *value.shape[1:])
        number = torch.tensor(_of_name(name), device=value.device)
        for dim in range(1, value.dim()):
            places = torch.arange(1, value.shape[dim] + 1, device=value.device)
            number = _mixed(number.unsqueeze(-1) + places * _STEP)
        added = (value * (number | 1)).flatten(1).sum(1) if value.dim() > 1 else value * number
        total = total.to(added.device) + _mixed(added)
    return total


def _mixed(number: Tensor) -> Tensor:
    """The finaliser of splitmix64, bit by bit."""
    number = (number ^ _shifted(number, 30)) * _FIRST
    number = (number ^ _shifted(number, 27)) * _SECOND
    return number ^ _shifted(number, 31)


def _shifted(number: Tensor, count: int) -> Tensor:
    return (number >> count) & (2 ** (64 - count) - 1)


def _of_name(name: str) -> int:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True) | 1
