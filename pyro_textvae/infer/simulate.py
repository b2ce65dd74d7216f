# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Run a model without its text: the one way in which the engine generates."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_textvae.contract import COLUMN_SETTINGS, LABELS, TOKENS
from pyro_textvae.errors import UserError
from pyro_textvae.infer.autoguides import model_of_autoguide, without_handlers
from pyro_textvae.infer.function_program import FunctionProgram, name_of_function

Condition = int | Mapping[str, Tensor]
"""What text is generated on: a batch, of which ``tokens`` is not used, or a number of sentences."""

_REMEDIES = {
    field: f"name its column with --{setting.replace('_', '-')} ({setting}= of load_corpus)"
    for field, setting in COLUMN_SETTINGS.items()
}
"""What to do where a batch lacks a field that a program needs."""


def simulate(model: nn.Module, condition: Condition) -> Trace:
    """Run ``model`` without its text, and return the trace of what it drew.

    Where ``forward`` names fields of the condition besides ``tokens``, it is called with those, and
    with ``size``, the number of sentences, where it names that too; otherwise with ``size`` alone.
    Effect handlers (``poutine.condition``, say) go around the call as contexts.

    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> decoder = LSTMDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=6
    ... )
    >>> trace = simulate(SentenceVAE(prior=StandardNormal(2), decoder=decoder), 3)
    >>> tuple(trace.nodes["x"]["value"].shape)
    (3, 6)

    :param condition: a batch, with the datum first in every field, or a number of sentences.
    :raises UserError: when ``model`` needs a field that the condition does not have.
    """
    if isinstance(condition, int):
        for name in required_fields(model):
            if name != "size":
                raise UserError(
                    f"{name_of(model)} needs the field {name!r} to generate text: give a batch "
                    "that has it, not a number of sentences alone"
                )
        return poutine.trace(model).get_trace(size=condition)
    fields = fields_of(model, {n: value for n, value in condition.items() if n != TOKENS})
    if not fields or "size" in _parameters(model):
        fields["size"] = size_of(condition)
    return poutine.trace(model).get_trace(**fields)


def fields_of(program: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``batch`` that ``program`` names in its signature; all for ``**fields``.

    >>> def program(tokens, source): ...
    >>> fields_of(program, {"tokens": 1, "source": 2, "labels": 3})
    {'tokens': 1, 'source': 2}

    :param program: an ``nn.Module``, whose ``forward`` is asked, or a function; either may be
        wrapped in effect handlers.
    :raises UserError: when it needs a field that the batch does not have.
    """
    for name in required_fields(program):
        if name not in batch:
            raise UserError(
                f"{name_of(program)} needs the field {name!r}, and the batch has "
                f"{', '.join(batch) or 'none'}: {_REMEDIES.get(name, 'give it')}, or give it a "
                "default in its signature"
            )
    parameters = _parameters(program)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(batch)
    return {name: value for name, value in batch.items() if name in parameters}


def named_fields(program: Any) -> list[str]:
    """The names in the signature of a program, ``size`` among them."""
    return list(_parameters(program))


def fields_beside_text(program: Any) -> set[str]:
    """The fields of a batch besides its tokens that a program names, such as a source.

    Labels that it can do without are none: where they are not given, it draws or infers them.

    >>> def program(tokens, source, labels=None): ...
    >>> fields_beside_text(program)
    {'source'}
    """
    optional = {LABELS} - {*required_fields(program)}
    return set(named_fields(program)) - {TOKENS, "size"} - optional


def takes_condition(program: Any, condition: Condition) -> bool:
    """Whether ``program`` names a field of ``condition`` besides ``tokens``."""
    if isinstance(condition, int):
        return False
    return bool(fields_of(program, dict.fromkeys(condition)).keys() - {TOKENS})


def size_of(condition: Condition) -> int:
    """The number of sentences to generate on a condition; 0 where it has no field."""
    if isinstance(condition, int):
        return condition
    return len(next(iter(condition.values()), ()))


def required_fields(program: Any) -> list[str]:
    """The names that a program cannot be called without."""
    return [
        name
        for name, parameter in _parameters(program).items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def _parameters(program: Any) -> Mapping[str, inspect.Parameter]:
    program = without_handlers(program)
    if isinstance(program, FunctionProgram):
        return program.fields
    model = model_of_autoguide(program)
    if model is not None:
        return _parameters(model)
    function = program.forward if isinstance(program, nn.Module) else program
    if isinstance(program, nn.Module) and inspect.ismethod(function):
        return _parameters_of_method(function.__func__)
    return inspect.signature(function).parameters


@lru_cache(maxsize=256)
def _parameters_of_method(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    return {parameter.name: parameter for parameter in parameters[1:]}


def name_of(program: Any) -> str:
    """What a program is called in a message."""
    return name_of_function(without_handlers(program))
