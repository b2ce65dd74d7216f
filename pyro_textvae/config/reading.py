# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A dataclass of settings from plain values, each checked against its type."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from jsonargparse import ArgumentParser

from pyro_textvae.errors import UserError

Settings = TypeVar("Settings")


def build_settings(cls: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Build ``cls`` from values as a YAML file gives them.

    :param where: what the values belong to, for the message.
    :raises UserError: for an unknown name, with the nearest known one, or a wrong value.
    """
    refuse_unknown(values, [field.name for field in fields(cls)], where)  # type: ignore[arg-type]
    parser, names = _parser_of(cls)  # type: ignore[arg-type]
    try:
        parsed = parser.parse_object(dict(values))
        return cls(**{name: parsed[name] for name in names})
    except ArgumentError as error:
        message = str(error)
        wrong = wrong_value(message)
        text = f"{wrong[0]} must be {wrong[1]}, got {wrong[2]!r}" if wrong else message
        raise UserError(f"{where}: {' '.join(text.split())}") from error
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


@cache
def _parser_of(cls: type) -> tuple[ArgumentParser, list[str]]:
    parser = ArgumentParser(exit_on_error=False)
    return parser, parser.add_class_arguments(cls)


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


def wrong_value(message: str) -> tuple[str, str, str] | None:
    """Setting, expected kind and given value from what the parser says of a wrong value."""
    message = " ".join(message.split())
    wrong = re.search(r'Parser key "([\w.]+)": (.*)', message)
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    kinds = re.findall(r"Expected an? (.*?)(?=\. Got value:| - | Given value|$)", message)
    if not (wrong and value and kinds):
        return None
    kind = " or ".join(_plain_type(kind) for kind in kinds if "NoneType" not in kind)
    return wrong[1], kind, value[1]


def _plain_type(kind: str) -> str:
    """What the parser calls a type, without Python's words for it."""
    choices = re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", kind)
    if choices:
        return f"one of {choices[1].replace(chr(39), '')}"
    return re.sub(r"<class '(\w+)'>", r"\1", kind)
