# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Settings are checked where their dataclass is made: the type, the choices and the range of each.

Types and choices are read from the annotations. What else a value must satisfy stands beside its
field.

>>> @dataclass
... class Config:
...     epochs: int = setting(40, at_least(1))
...
...     def __post_init__(self) -> None:
...         check_settings(self)
>>> Config(epochs=0)
Traceback (most recent call last):
...
pyro_textvae.errors.UserError: epochs must be at least 1, got 0
"""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pyro_textvae import zoo
from pyro_textvae.errors import UserError


@dataclass(frozen=True)
class Condition:
    """What the value of a setting must satisfy besides its type; None is never asked.

    :param words: the end of the sentence "epochs must ...".
    """

    words: str
    holds: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Refuse a value for which the condition does not hold.

        :raises UserError: with the name of the setting, the condition and the value.
        """
        if not self.holds(value):
            raise UserError(f"{name} must {self.words}, got {value}")


@dataclass(frozen=True)
class Member:
    """The value must name a member of a kind of the catalogue, or a class of the user's own."""

    kind: str

    def check(self, name: str, value: Any) -> None:
        """Refuse a name that the catalogue does not have.

        :raises UserError: with the nearest name that it has.
        """
        zoo.check_name(self.kind, value)


def at_least(minimum: int) -> Condition:
    """The condition of numbers that are ``minimum`` or more."""
    return Condition(f"be at least {minimum}", lambda value: value >= minimum)


FINITE = Condition("be finite", math.isfinite)
POSITIVE = Condition("be positive", lambda value: math.isfinite(value) and value > 0)
SHARE = Condition("lie in [0, 1)", lambda value: 0 <= value < 1)
FACTOR = Condition("lie in (0, 1]", lambda value: 0 < value <= 1)
PORT = Condition("lie in [0, 65536)", lambda value: 0 <= value < 65536)
SEED = Condition("lie in [0, 2**32)", lambda value: 0 <= value < 2**32)
"""The seeds that NumPy takes, which Pyro seeds too."""


def setting(default: Any, *conditions: Condition | Member) -> Any:
    """A field of a dataclass of settings, with what its value must satisfy besides its type."""
    return field(default=default, metadata={"conditions": conditions})


def check_settings(config: Any) -> None:
    """Check every field of a dataclass against its annotation and its conditions.

    An ``int`` may stand for a ``float``; ``True`` and ``False`` are no numbers.

    Paths, NumPy's scalars and devices are replaced by plain values first.

    :param config: an instance of a dataclass.
    :raises UserError: with the name of the first setting that is wrong, its value and what it may
        be.
    """
    types = get_type_hints(type(config))
    for each in fields(config):
        value = plain(each.name, getattr(config, each.name))
        setattr(config, each.name, value)
        if not is_of(value, types[each.name]):
            raise wrong_type(each.name, repr(value), types[each.name])
        if value is not None:
            for condition in each.metadata.get("conditions", ()):
                condition.check(each.name, value)


def check_argument(name: str, value: Any, kind: Any, *conditions: Condition | Member) -> Any:
    """Check an argument of a public function as a setting is checked; the value, as a plain one.

    :param kind: its annotation; ``str`` for a path.
    :raises UserError: with its name, its value and what it may be.

    >>> import pathlib
    >>> check_argument("path", pathlib.Path("runs"), str)
    'runs'
    >>> check_argument("steps", 1, int, at_least(2))
    Traceback (most recent call last):
    ...
    pyro_textvae.errors.UserError: steps must be at least 2, got 1
    """
    value = plain(name, value)
    if not is_of(value, kind):
        raise wrong_type(name, repr(value)[:200], kind)
    if value is not None:
        for condition in conditions:
            condition.check(name, value)
    return value


def plain(name: str, value: Any) -> Any:
    """The value as a file of settings can hold it: paths and devices as text, scalars as numbers.

    :raises UserError: for something inside a list or a mapping that no file can hold, and for a key
        that is not text.

    >>> import numpy as np
    >>> plain("options", {"rate": np.float64(0.5), "seeds": [np.int64(3)]})
    {'rate': 0.5, 'seeds': [3]}
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UserError(f"a key of {name} must be str, got {key!r}: put it in quotes")
        return {key: _plain_part(f"{name}.{key}", each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        parts = [_plain_part(f"{name}[{place}]", each) for place, each in enumerate(value)]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # The command line reads its settings without these, which take long to import.
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    if torch is not None and isinstance(value, torch.device):
        return str(value)
    return value


def _plain_part(name: str, value: Any) -> Any:
    value = plain(name, value)
    if isinstance(value, str | int | float | list | tuple | dict | NoneType):
        return value
    raise UserError(
        f"{name} must be text, a number, true or false, a list or a mapping, got {value!r}"
    )


def wrong_type(name: str, shown: str, kind: Any) -> UserError:
    """What to say of a value that is of another type than its setting.

    :param shown: the value, as it is to be quoted.
    :param kind: the annotation of the setting.
    """
    kinds = [each for each in _alternatives(kind) if each is not NoneType]
    words = " or ".join(_words(each) for each in kinds)
    choices = [str(choice) for each in kinds for choice in _choices(each)]
    near = difflib.get_close_matches(shown.strip("'"), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"{name} must be {words}, got {shown}{hint}")


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of the type that an annotation says.

    >>> is_of(3, float), is_of(True, int), is_of(None, int | None)
    (True, False, True)
    """
    if kind is Any:
        return True
    if get_origin(kind) in (Union, UnionType):
        return any(is_of(value, each) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(is_of(each, *get_args(kind)) for each in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(str(choice) for choice in get_args(kind))}"
    return (get_origin(kind) or kind).__name__
