# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Run a model without its text: the one way in which the engine generates."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_textvae.contract import COLUMN_SETTINGS, TOKENS
from pyro_textvae.errors import UserError

Condition = int | Mapping[str, Tensor]
"""What text is generated on: a batch, of which ``tokens`` is not used, or a number of sentences."""

_REMEDIES = {
    field: f"name its column with --{setting.replace('_', '-')} ({setting}= of load_corpus)"
    for field, setting in COLUMN_SETTINGS.items()
}
"""What to do where a batch lacks a field that a program needs."""


def simulate(model: nn.Module, condition: Condition) -> Trace:
    """Run ``model`` without its text, and return the trace of what it drew.

    Where ``forward`` names fields of the condition besides ``tokens``, it is called with those;
    otherwise with ``size``, the number of sentences. Effect handlers (``poutine.condition``, say)
    go around the call as contexts.

    :param condition: a batch, with the datum first in every field, or a number of sentences.
    :raises UserError: when ``model`` needs a field that the condition does not have.
    """
    if isinstance(condition, int):
        return poutine.trace(model).get_trace(size=condition)
    fields = fields_of(model, {n: value for n, value in condition.items() if n != TOKENS})
    if not fields:
        return poutine.trace(model).get_trace(size=size_of(condition))
    return poutine.trace(model).get_trace(**fields)


def fields_of(program: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``batch`` that ``program`` names in its signature; all for ``**fields``.

    :param program: an ``nn.Module``, whose ``forward`` is asked, or a function.
    :raises UserError: when it needs a field that the batch does not have.
    """
    function = program.forward if isinstance(program, nn.Module) else program
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        optional = parameter.default is not parameter.empty
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name not in batch and not (optional or variable):
            raise UserError(
                f"{_name(program)} needs the field {name!r}, and the batch has "
                f"{', '.join(batch) or 'none'}: {_REMEDIES.get(name, 'give it')}, or give it a "
                "default in its signature"
            )
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(batch)
    return {name: value for name, value in batch.items() if name in parameters}


def size_of(condition: Condition) -> int:
    """The number of sentences to generate on a condition."""
    if isinstance(condition, int):
        return condition
    return len(next(iter(condition.values())))


def _name(program: Any) -> str:
    return getattr(program, "__name__", type(program).__name__)
