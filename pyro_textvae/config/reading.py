# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A dataclass of settings from plain values, each checked against its type."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from pyro_textvae.config.checks import is_of, wrong_type
from pyro_textvae.config.yaml_loader import WITH_EXPONENT, SettingsLoader
from pyro_textvae.errors import UserError

Settings = TypeVar("Settings")

SPELLINGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
"""What true and false are written as, in small or capital letters."""


def build_settings(cls: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Build ``cls`` from values as a YAML file gives them.

    :param where: what the values belong to, for the message.
    :raises UserError: for an unknown name, with the nearest known one, or a wrong value.
    """
    refuse_unknown(values, [field.name for field in fields(cls)], where)  # type: ignore[arg-type]
    try:
        # A grid keeps 1e-3 as text, so that its folders are named as it was written.
        numbers = {
            name: _with_numbers(value) if isinstance(value, Mapping) else value
            for name, value in values.items()
        }
        return cls(**read_values(cls, numbers))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def read_values(
    cls: type, values: Mapping[str, Any], label: Callable[[str], str] = str
) -> dict[str, Any]:
    """The values with the types of the settings of ``cls``.

    Text for a setting that is text stays as it is; for any other setting it is read as YAML.
    None is for settings that may be left open.

    :param values: plain values by the names of settings.
    :param label: what a setting is called in a message.
    :raises UserError: for a value of another type.

    >>> from pyro_textvae.config import TrainConfig
    >>> read_values(TrainConfig, {"data": "null", "epochs": "3", "truncate": "No"})
    {'data': 'null', 'epochs': 3, 'truncate': False}
    """
    types = get_type_hints(cls)
    read = {}
    for name, value in values.items():
        read[name] = _read(value, types[name])
        if not is_of(read[name], types[name]):
            shown = "null" if value is None else repr(str(value))
            raise wrong_type(label(name), shown, types[name])
    return read


def value_of(text: str) -> Any:
    """What a text stands for in YAML; a text that is no YAML for itself.

    >>> value_of("1e-3"), value_of("[1, 2]"), value_of("[1, 2")
    (0.001, [1, 2], '[1, 2')
    """
    try:
        return yaml.load(text, SettingsLoader)
    except yaml.YAMLError:
        return text


def is_text(kind: Any) -> bool:
    """Whether an annotation is that of text, or of a choice of words, perhaps left open."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    kinds = tuple(each for each in kinds if each is not NoneType)
    return all(each is str or get_origin(each) is Literal for each in kinds)


def _read(value: Any, kind: Any) -> Any:
    if isinstance(value, str) and not is_text(kind):
        if kind is bool:
            return SPELLINGS.get(value.lower())
        value = value_of(value)
    wants_float = kind is float or float in get_args(kind)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if wants_float and is_whole else value


def _with_numbers(value: Any) -> Any:
    """The value with the text in it that is a number, such as ``1e-3``, as one."""
    if isinstance(value, Mapping):
        return {name: _with_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each) for each in value]
    if isinstance(value, str) and WITH_EXPONENT.match(value):
        return float(value)
    return value


def refuse_unknown(names: Iterable[Any], known_names: Iterable[str], where: str) -> None:
    """Refuse the first name that is not known.

    :raises UserError: with the nearest known name, or all of them.
    """
    known_names = list(known_names)
    for name in names:
        if name not in known_names:
            near = difflib.get_close_matches(str(name), known_names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known_names)}"
            raise UserError(f"{where} has no setting {name!r}: {hint}")
