# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Settings from a YAML file and flags over it, by way of ``jsonargparse``."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from pyro_textvae.config.reading import wrong_value
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
    settings = [name for name in names if name != "config"]
    hints = get_type_hints(cls)
    switches = {field.name for field in fields(cls) if hints[field.name] is bool}  # type: ignore[arg-type]
    normal = _files_first(_normalise(arguments, switches))
    for argument in normal:
        if argument.startswith("--"):
            flag, _, value = argument[2:].partition("=")
            name = flag.partition(".")[0]
            if name not in (*settings, "config", "help", "print_config"):
                raise UserError(
                    f"{command} has no setting --{_hyphen(name)}{_nearest(name, settings)}"
                )
            if name == "config":
                _check_file(command, value, settings)
    try:
        parsed = parser.parse_args(normal)
        defaults = parser.get_defaults()
        values = {name: parsed[name] for name in settings}
        given = {name for name in settings if values[name] != defaults[name]}
        given |= {argument[2:].partition("=")[0] for argument in normal if argument[:2] == "--"}
        return cls(**values), given - {"config"}
    except ArgumentError as error:
        raise UserError(_one_line(command, str(error))) from error


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


def _files_first(arguments: Sequence[str]) -> list[str]:
    """Files before flags: the parser lets the later one win, and flags are to override."""
    files: list[str] = []
    flags: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--config":
            files.append(f"--config={next(rest, '')}")
        else:
            (files if argument.startswith("--config=") else flags).append(argument)
    return [*files, *flags]


def _check_file(command: str, path: str, known_names: list[str]) -> None:
    """Refuse a file that is not a mapping, or an unknown name, which the parser would not tell."""
    if not path:
        raise UserError("--config needs the name of a YAML file of settings")
    advice = "write one `name: value` a line, as in the config.yaml of a run"
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read --config {path}: {error.strerror}; give a YAML file of settings"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"--config {path} is not UTF-8 text: {advice}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise UserError(f"--config {path} is not YAML{place}: {advice}") from error
    if not isinstance(settings, dict):
        raise UserError(f"--config {path} is not a mapping of settings: {advice}")
    for name in settings:
        if str(name).partition(".")[0] not in known_names:
            near = _nearest(str(name), known_names)
            raise UserError(f"{command} has no setting {name!r}, which {path} gives{near}")


def _one_line(command: str, message: str) -> str:
    wrong = wrong_value(message)
    if wrong:
        return f"{command}: --{_hyphen(wrong[0])} must be {wrong[1]}, got {wrong[2]!r}"
    text = " ".join(message.split())
    return f"{command}: {text} (see pyro-textvae {command} --help)"


def _nearest(name: str, known_names: list[str]) -> str:
    near = difflib.get_close_matches(name, known_names, n=1)
    hint = f"; did you mean --{_hyphen(near[0])}?" if near else ""
    return f"{hint} (see --help)"


def _hyphen(name: str) -> str:
    return name.replace("_", "-")


def as_mapping(settings: Any) -> dict[str, Any]:
    """The fields of a settings object, by name."""
    return {field.name: getattr(settings, field.name) for field in fields(settings)}
