# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Running programs without a trace in Pyro's global state, one thread at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import pyro
from pyro.nn import PyroModule
from pyro.params.param_store import normalize_param_name
from torch import nn

# Pyro's stack of effect handlers and its parameter store belong to the process, not to a thread.
_LOCK = RLock()


@contextmanager
def isolated(*programs: Any) -> Iterator[None]:
    """Run ``programs`` beside Pyro's global parameter store, which is afterwards as it was.

    The programs find none of the store's parameters under the names of their own: what stands
    there may be a copy's, or another model's. Parameters of other names, such as those of a
    ``pyro.param`` statement, are as in the store; so are all that a program which is a function
    uses. Only one thread at a time is inside; others wait.

    >>> import torch
    >>> program = PyroModule[nn.Linear](2, 1)
    >>> with isolated(program):
    ...     y = program(torch.zeros(1, 2))
    >>> list(pyro.get_param_store())
    []
    """
    with _LOCK:
        store = pyro.get_param_store()
        modules = [program for program in programs if isinstance(program, nn.Module)]
        names = {name for module in modules for name in _names_in_store(module)}
        before: Any = store.get_state()
        kept: Any = {
            part: {
                name: value
                for name, value in values.items()
                if normalize_param_name(name) not in names
            }
            for part, values in before.items()
        }
        parameters = [p for module in modules for p in module.parameters()]
        trained = [parameter.requires_grad for parameter in parameters]
        with store.scope(kept):
            try:
                yield
            finally:
                # Pyro asks for the gradient of whatever it takes into a store.
                for parameter, was_trained in zip(parameters, trained, strict=True):
                    if parameter.requires_grad != was_trained:
                        parameter.requires_grad_(was_trained)


def _names_in_store(program: nn.Module) -> Iterator[str]:
    """The names by which Pyro takes the parameters of a program into its store."""
    for module in program.modules():
        if isinstance(module, PyroModule):
            for name, _ in module.named_parameters(
                prefix=module._pyro_name, remove_duplicate=False
            ):
                yield name.removesuffix("_unconstrained")
