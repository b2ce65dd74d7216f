# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Methods of single modules, replaced within a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

Replacement = tuple[nn.Module, str, Callable[..., Any]]
"""A module, the name of one of its methods, and what is called in its place."""


@contextmanager
def replaced_methods(replacements: Iterable[Replacement]) -> Iterator[None]:
    """Let each module call something else by that name; parameters and their names stay.

    >>> import torch
    >>> layer = nn.Linear(2, 3)
    >>> with replaced_methods([(layer, "forward", lambda inputs: "replaced")]):
    ...     layer(torch.zeros(2))
    'replaced'
    """
    undo: list[tuple[nn.Module, str, Any]] = []
    try:
        for module, name, function in replacements:
            undo.append((module, name, module.__dict__.get(name)))
            module.__dict__[name] = function
        yield
    finally:
        for module, name, before in reversed(undo):
            if before is None:
                del module.__dict__[name]
            else:
                module.__dict__[name] = before
