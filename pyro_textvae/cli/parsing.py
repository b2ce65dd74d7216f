# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Settings from a YAML file and flags over it, by way of ``jsonargparse``."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from pyro_textvae.errors import UserError

Settings = TypeVar("Settings")


class _HyphenFormatter(DefaultHelpFormatter):
    """Shows flags the way they are usually typed: ``--num-samples``."""

    def format_help(self) -> str:
        return re.sub(r"--\w+", lambda flag: flag[0].replace("_", "-"), super().format_help())


def parse(cls: type[Settings], command: str, arguments: Sequence[str]) -> tuple[Settings, set[str]]:
    """Read the settings of one command.

    Flags may be written with hyphens or underscores; a flag that is either true or false needs no
    value. ``--config FILE`` reads a YAML file, and flags override it.

    :returns: the settings, and the names that were given, in the file or as flags.
    :raises UserError: for an unknown name, with the nearest known one, or a wrong value.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    parser = ArgumentParser(
        prog=f"pyro-textvae {command}",
        description=(cls.__doc__ or "").strip().splitlines()[0],
        formatter_class=_HyphenFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="config", help="YAML file of settings; flags override")
    names = parser.add_class_arguments(cls)
    known = [name for name in names if name != "config"]
    hints = get_type_hints(cls)
    switches = {field.name for field in fields(cls) if hints[field.name] is bool}  # type: ignore[arg-type]
    normal = _normalise(arguments, switches)
    for argument in normal:
        if argument.startswith("--"):
            name = argument[2:].partition("=")[0].partition(".")[0]
            if name not in (*known, "config", "help", "print_config"):
                raise UserError(
                    f"{command} has no setting --{_hyphen(name)}{_nearest(name, known)}"
                )
    try:
        parsed = parser.parse_args(normal)
        defaults = parser.get_defaults()
        values = {name: parsed[name] for name in known}
        given = {name for name in known if values[name] != defaults[name]}
        given |= {argument[2:].partition("=")[0] for argument in normal if argument[:2] == "--"}
        return cls(**values), given - {"config"}
    except ArgumentError as error:
        raise UserError(_one_line(command, str(error), known)) from error


def _normalise(arguments: Sequence[str], switches: set[str]) -> list[str]:
    """Flags with underscores, and a value for those that were given none."""
    normal = []
    for position, argument in enumerate(arguments):
        if argument.startswith("--") and len(argument) > 2:
            name, equals, value = argument[2:].partition("=")
            name = name.replace("-", "_")
            following = arguments[position + 1] if position + 1 < len(arguments) else ""
            if name in switches and not equals and following not in ("true", "false"):
                equals, value = "=", "true"
            argument = f"--{name}{equals}{value}"
        normal.append(argument)
    return normal


def _one_line(command: str, message: str, known: list[str]) -> str:
    text = " ".join(message.split())
    unknown = re.search(r"Option '([\w.-]+)' is not accepted", text)
    if unknown:
        return f"{command} has no setting {unknown[1]!r}{_nearest(unknown[1], known)}"
    wrong = re.search(r'Parser key "(\w+)": Expected an? (.*)\. Got value: (.*)', text)
    if wrong:
        kind = re.sub(r"<class '(\w+)'>|typing\.", lambda found: found[1] or "", wrong[2])
        return f"{command}: --{_hyphen(wrong[1])} must be {kind}, got {wrong[3]!r}"
    return f"{command}: {text}"


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean --{_hyphen(near[0])}?" if near else ""
    return f"{hint} (see --help)"


def _hyphen(name: str) -> str:
    return name.replace("_", "-")


def as_mapping(settings: Any) -> dict[str, Any]:
    """The fields of a settings object, by name."""
    return {field.name: getattr(settings, field.name) for field in fields(settings)}
