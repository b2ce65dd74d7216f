# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Checks of the numbers that networks are built from."""

from __future__ import annotations


def check_sizes(*, minimum: int = 1, **sizes: int) -> None:
    """Raise ValueError for the first size that is not whole or below ``minimum``, by its name.

    >>> check_sizes(latent_dim=3, hidden_dim=0)
    Traceback (most recent call last):
    ValueError: hidden_dim must be at least 1, got 0
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool):
            raise ValueError(f"{name} must be a whole number, got {size!r}")
        if size < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {size}")


def check_rates(**rates: float) -> None:
    """Raise ValueError for the first dropout rate outside [0, 1), by its name.

    >>> check_rates(word_dropout=1.0)
    Traceback (most recent call last):
    ValueError: word_dropout must lie in [0, 1), got 1.0
    """
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {rate}")
