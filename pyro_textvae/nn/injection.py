# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The ways in which z reaches a decoder, by their names."""

from __future__ import annotations

from collections.abc import Sequence

INITIAL_STATE = "initial_state"
CONCATENATION = "concatenation"
ADDITION = "addition"
ATTENTION = "attention"

INJECTIONS = (INITIAL_STATE, CONCATENATION, ADDITION, ATTENTION)
"""What every decoder of the catalogue offers; each says what the words mean for it."""


def read_injection(injection: str | Sequence[str], latent_dim: int) -> frozenset[str]:
    """The ways that are asked for, one or several; none for a decoder without z.

    >>> sorted(read_injection(["attention", "addition"], latent_dim=3))
    ['addition', 'attention']

    :raises ValueError: for an unknown way, or for none although there is a z.
    """
    if not isinstance(injection, Sequence):
        raise ValueError(f"injection must be one way or a list of them, got {injection!r}")
    ways = (injection,) if isinstance(injection, str) else tuple(injection)
    for way in ways:
        if way not in INJECTIONS:
            raise ValueError(f"injection must be of {', '.join(INJECTIONS)}, got {way!r}")
    if latent_dim and not ways:
        raise ValueError(
            f"injection is empty, so z would reach no word: give one of {', '.join(INJECTIONS)}"
        )
    return frozenset(ways) if latent_dim else frozenset()
