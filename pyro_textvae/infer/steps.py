# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs that can be run a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from pyro_textvae.contract import TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.infer.simulate import fields_of, name_of

STEP_METHODS = ("start", "step")
"""What a program has beside ``forward`` that can be run a step at a time.

Both are called within the plate ``"data"``, with the fields that they name.
``start(**fields)`` draws what is of the whole datum and returns a state, and
``step(state, t, **fields)`` draws what is of step t and returns the state that the next goes on
from. A state is a tensor, or a list, tuple or dict of states, with the particles at the left of
each tensor that depends on a draw."""


def has_steps(program: Any) -> bool:
    """Whether ``program`` has the methods of :data:`STEP_METHODS`.

    >>> class Chain:
    ...     def start(self, tokens): ...
    ...     def step(self, state, t, tokens): ...
    >>> has_steps(Chain()), has_steps(print)
    (True, False)
    """
    return all(callable(getattr(program, name, None)) for name in STEP_METHODS)


def number_of_steps(model: Any, batch: Mapping[str, Tensor]) -> int:
    """How many steps a model with steps takes on a batch: one for each place of its text.

    Where it has a method ``num_steps``, of fields of the batch, that says how many.

    :raises UserError: where that is no number above zero.
    """
    if not callable(getattr(model, "num_steps", None)):
        return batch[TOKENS].shape[1]
    number = model.num_steps(**fields_of(model.num_steps, batch))
    if not isinstance(number, int) or number < 1:
        raise UserError(
            f"num_steps of {name_of(model)} must return a whole number above 0, got {number!r}"
        )
    return number


def map_state(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply ``function`` to every tensor of a state; what is no tensor stays as it is.

    >>> import torch
    >>> map_state(lambda value: value + 1, {"h": torch.zeros(2), "t": 3})
    {'h': tensor([1., 1.]), 't': 3}
    """
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, Mapping):
        return {name: map_state(function, value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        parts = [map_state(function, value) for value in state]
        if hasattr(state, "_fields"):
            return type(state)(*parts)
        return type(state)(parts)
    return state
