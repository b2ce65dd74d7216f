# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What model, guide and their parts were built with, read from their attributes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.checks import plain
from pyro_textvae.errors import UserError
from pyro_textvae.infer.function_program import FunctionProgram
from pyro_textvae.nn import TextAndSourceEncoder
from pyro_textvae.nn.word_dropout import WordDropout
from pyro_textvae.runs.build import ARCHITECTURE, FROM_RUN, PARTS, TOKENIZER
from pyro_textvae.runs.spec_of import spec_of

OF_TEXT = ("vocab_size", "max_length", TOKENIZER)
"""What a run has from its text, and so from no option."""


@dataclass(frozen=True)
class Described:
    """A pair as settings describe it.

    specs
        The name of model, guide and each part.
    settings
        Those of ``ARCHITECTURE``.
    options
        What the settings have no name for, and what a part has otherwise than the rest.
    unknown
        What no attribute tells, with its owner: their defaults, unless options have them.
    """

    specs: dict[str, str]
    settings: dict[str, Any]
    options: dict[str, Any]
    unknown: tuple[str, ...]


def describe_pair(model: nn.Module, guide: nn.Module, given: Mapping[str, Any]) -> Described:
    """The settings that build such a pair again.

    The value of an argument of ``__init__`` is the attribute of its name: ``self.hidden_dim``. Of
    parts that have an argument of the same name, one value serves all where one alone tells it;
    widths that none tells are looked for in what they are made of. Whether that was right, only
    building the pair again can show.

    :param given: options that are taken as they are, in the place of attributes.
    :raises UserError: for a class or a value that no run can describe.
    """
    programs = {"model": model, "guide": guide}
    parts = _parts_of(programs)
    kinds = {"model": "models", "guide": "guides", **PARTS}
    # Where they differ, the decoder's value is the setting and the prior's an option; but not where
    # the decoder is given more than z, as the model's decoder_latent_dim tells.
    everything = dict(programs)
    first = ("decoder", "encoder", "prior")
    if hasattr(maker_of(model), "decoder_latent_dim"):
        first = ("prior", "decoder", "encoder")
    everything |= {name: parts[name] for name in (*first, *PARTS) if name in parts}
    specs = {name: _spec_of(kinds[name], each) for name, each in everything.items()}
    told = {name: dict(_told(each)) for name, each in everything.items()}

    settings: dict[str, Any] = {}
    for name in ARCHITECTURE:
        values = [each[name] for each in told.values() if name in each]
        values += [] if values else _told_inside(everything.values(), name)
        if values:
            settings[name] = values[0]
    settings |= {name: given[name] for name in ARCHITECTURE if name in given}
    given = {name: value for name, value in given.items() if name not in settings}
    options: dict[str, Any] = {}
    for name in programs:
        for argument, value in told[name].items():
            known = settings if argument in ARCHITECTURE else options
            if known.setdefault(argument, value) != value:
                raise UserError(
                    f"the {name} has {argument}={value!r} and the other program "
                    f"{known[argument]!r}, where a run has one value for both: give them one, or "
                    "arguments of different names"
                )
    for name in parts:
        for argument, value in told[name].items():
            if (settings | options).get(argument, _default(parts[name], argument)) != value:
                options[f"{name}_{argument}"] = value
    unknown = []
    options |= given
    for name, each in everything.items():
        for argument in _arguments_of(each):
            elsewhere = {*settings, *options, *OF_TEXT, *PARTS, *told[name]}
            elsewhere |= {*FROM_RUN} if name == "guide" else set()
            if argument not in elsewhere and f"{name}_{argument}" not in elsewhere:
                unknown.append(f"{argument} of {maker_of(each).__name__}")
                if _default(each, argument) is _MISSING:
                    raise UserError(
                        f"{maker_of(each).__name__} does not tell with which {argument} it was "
                        f"built: keep it as self.{argument}, or give options={{{argument!r}: ...}}"
                    )
    return Described(specs, settings, options, tuple(unknown))


def size_told(modules: Mapping[str, nn.Module], name: str) -> int | None:
    """The value of a size that the parts of a pair tell; None where none does.

    :raises UserError: where they differ.
    """
    values = sorted(set(_told_inside(modules.values(), name)))
    if len(values) > 1:
        raise UserError(f"model and guide have parts of different {name}: {values}")
    return next(iter(values), None)


def _told_inside(modules: Iterable[nn.Module], name: str) -> list[int]:
    """What the modules inside of these have as an attribute of a name, in order."""
    inside = [value for module in modules for value in module.modules()]
    return [each.__dict__[name] for each in inside if type(each.__dict__.get(name)) is int]


def _parts_of(programs: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    parts: dict[str, nn.Module] = {}
    for program in programs.values():
        for name in PARTS:
            if name not in _arguments_of(program):
                continue
            part = getattr(program, name, None)
            if isinstance(part, TextAndSourceEncoder):
                part = part.encoder
            if not isinstance(part, nn.Module):
                raise UserError(
                    f"{type(program).__name__} does not tell which {name} it was built with: keep "
                    f"it as self.{name}"
                )
            if type(parts.setdefault(name, part)) is not type(part):
                raise UserError(
                    f"model and guide have different kinds of {name}, "
                    f"{type(parts[name]).__name__} and {type(part).__name__}, where a run has one "
                    "for both: give them one"
                )
    return parts


def maker_of(module: nn.Module) -> Any:
    """What a module was made by: its class, or the function that it is a program of."""
    return module.function if isinstance(module, FunctionProgram) else type(module)


def _arguments_of(module: nn.Module) -> list[str]:
    """What it was given by name when it was made."""
    if isinstance(module, FunctionProgram):
        return [name for name in zoo.parameters(module.function) if name in module.given]
    # The folder of a pre-trained part is in its name.
    named = [] if _pretrained_path(module) is None else ["path"]
    return [name for name in zoo.parameters(type(module)) if name not in named]


_MISSING = object()


def _spec_of(kind: str, module: nn.Module) -> str:
    return spec_of(kind, maker_of(module), _pretrained_path(module))


def _pretrained_path(module: nn.Module) -> str | None:
    """The folder that a pre-trained part is built from; None for another part."""
    kinds = (kind for kind in PARTS.values() if zoo.name_of(kind, type(module)) == zoo.PRETRAINED)
    return None if next(kinds, None) is None else str(module.path)


def _told(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Arguments of ``__init__`` whose values are attributes."""
    for name in _arguments_of(module):
        if name in PARTS or name in OF_TEXT or name in FROM_RUN:
            continue
        value = getattr(module, name, _MISSING)
        if isinstance(value, nn.Dropout):
            value = value.p
        elif isinstance(value, WordDropout):
            value = value.rate
        elif isinstance(value, frozenset | set):
            value = sorted(value)
        elif isinstance(value, tuple):
            value = list(value)
        value = plain(name, value)
        if isinstance(value, str | int | float | list | dict | NoneType):
            yield name, value


def _default(module: nn.Module, argument: str) -> Any:
    default = inspect.signature(maker_of(module)).parameters[argument].default
    if default is inspect.Parameter.empty:
        return _MISSING
    return list(default) if isinstance(default, tuple) else default
