# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Parameters that no gradient is computed for, within a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Record no gradient of ``parameters``: some operations would compute it all the same.

    >>> layer = nn.Linear(2, 3)
    >>> with frozen(layer.parameters()):
    ...     layer.weight.requires_grad
    False
    >>> layer.weight.requires_grad
    True
    """
    moving = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in moving:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)
