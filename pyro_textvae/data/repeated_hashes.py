# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How many of some sentences came before, or stand elsewhere too, by their sorted hashes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_BLOCK = 2**20


def num_shared(hashes: np.ndarray, others: Iterable[np.ndarray]) -> int:
    """Sentences that stand among others too.

    >>> num_shared(np.array([1, 1, 4]), [np.array([1, 2]), np.array([3])])
    2

    :param hashes: of the sentences, sorted.
    :param others: those of others, each sorted.
    """
    others = [other for other in others if len(other)]
    total = 0
    for first in range(0, len(hashes), _BLOCK):
        block = hashes[first : first + _BLOCK]
        shared = np.zeros(len(block), dtype=bool)
        for other in others:
            places = other.searchsorted(block)
            places[places == len(other)] = 0
            shared |= other[places] == block
        total += int(shared.sum())
    return total


def num_repeated(hashes: np.ndarray) -> int:
    """Sentences of which an equal one came before.

    >>> num_repeated(np.array([1, 1, 1, 4]))
    2

    :param hashes: of the sentences, sorted.
    """
    return sum(
        int(
            (
                hashes[first + 1 : first + _BLOCK + 1]
                == hashes[first : first + _BLOCK][: len(hashes) - first - 1]
            ).sum()
        )
        for first in range(0, len(hashes), _BLOCK)
    )
