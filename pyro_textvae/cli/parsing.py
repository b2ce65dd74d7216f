# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Settings from YAML files and flags over them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from pyro_textvae.config.reading import read_values
from pyro_textvae.config.yaml_loader import SettingsLoader
from pyro_textvae.errors import UserError

Settings = TypeVar("Settings")

PATHS = {"run", "runs", "resume", "start_from", "grid", "out", "data", "file", "export"}
"""Settings that name a file or a folder, in every command that has them."""


@dataclass
class _Given:
    """What the command line holds, before any value is read.

    :param flags: text by the name of a setting.
    :param files: names of the files of settings, in order.
    """

    flags: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    wants_help: bool = False
    wants_settings: bool = False


def parse(cls: type[Settings], command: str, arguments: Sequence[str]) -> tuple[Settings, set[str]]:
    """Read the settings of one command.

    Flags may be written with hyphens or underscores; a flag that is either true or false needs no
    value. ``--config FILE`` reads a YAML file, and flags override it. What stands without a flag
    are the ``runs`` of a command that has them.

    :returns: the settings, and the names that were given, in the file or as flags.
    :raises UserError: for an unknown name, with the nearest known one, a name that is given twice,
        or a wrong value.
    """
    types = get_type_hints(cls)
    defaults = as_mapping(cls())
    given = _walk(command, arguments, types)
    if given.wants_help:
        _print_help(cls, command)
        raise SystemExit(0)

    def label(name: str) -> str:
        return f"{command}: --{_hyphen(name)}"

    values = read_values(cls, _read_files(command, given.files, list(types)), label)
    flags = {name: text for name, text in given.flags.items() if "." not in name}
    read = values | read_values(cls, flags, label)
    for name, text in given.flags.items():
        setting, dot, key = name.partition(".")
        if dot:
            try:
                value = yaml.load(text, SettingsLoader)
            except yaml.YAMLError as error:
                problem = getattr(error, "problem", None) or "it is not YAML"
                raise UserError(f"{command}: --{name}: {problem}") from error
            read[setting] = {**read.get(setting, {}), key: value}
    for name in PATHS & read.keys():
        read[name] = _without_tilde(f"{command}: --{_hyphen(name)}", read[name])
    changed = {name for name in values if read[name] != defaults[name]}
    settings = cls(**read)
    if given.wants_settings:
        print(yaml.safe_dump(as_mapping(settings), sort_keys=False, allow_unicode=True), end="")
        raise SystemExit(0)
    return settings, changed | {name.partition(".")[0] for name in given.flags}


def _walk(command: str, arguments: Sequence[str], types: Mapping[str, Any]) -> _Given:
    """Sort the arguments into flags and files."""
    given = _Given()
    runs: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument in ("-h", "--help"):
            given.wants_help = True
            continue
        if argument in ("--print_config", "--print-config"):
            given.wants_settings = True
            continue
        if _takes_runs(types) and not argument.startswith("-"):
            runs.append(argument)
            continue
        if not is_flag(argument):
            raise UserError(
                f"{command}: unrecognized arguments: {argument} (see pyro-textvae {command} --help)"
            )
        flag, equals, value = argument[2:].partition("=")
        name = flag.replace("-", "_")
        if name == "json" and name not in types and "format" in types and not equals:
            # What prints rows prints them as JSON lines.
            name, equals, value = "format", "=", "jsonl"
        setting, dot, _ = name.partition(".")
        if setting not in (*types, "config") or (dot and types.get(setting) != dict[str, Any]):
            raise UserError(f"{command} has no setting --{_hyphen(name)}{_nearest(name, types)}")
        if not equals:
            value = _value_after(command, name, rest, types)
        if name == "config":
            given.files.append(value)
        elif name in given.flags:
            raise UserError(
                f"{command}: --{_hyphen(name)} is given twice, as {given.flags[name]} and as "
                f"{value}: give it once"
            )
        else:
            given.flags[name] = value
    if runs and "runs" in given.flags:
        raise UserError(f"{command}: {runs[0]} is beside --runs: name all runs there, or none")
    if runs:
        given.flags["runs"] = json.dumps(runs)
    return given


def _without_tilde(label: str, value: Any) -> Any:
    """The path, or every path of a list, with the user's home for its ``~``, as a shell has it."""
    if isinstance(value, list):
        return [_without_tilde(label, each) for each in value]
    if not (isinstance(value, str) and value.startswith("~")):
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError as error:
        raise UserError(f"{label} {value}: {error} Write the path in full") from error


def is_flag(argument: str) -> bool:
    """Whether an argument is a flag, not the value of one."""
    # A sentence may begin with two hyphens: what follows those of a flag is a name.
    return re.match(r"--[a-zA-Z][\w.-]*(=|$)", argument) is not None


def _takes_runs(types: Mapping[str, Any]) -> bool:
    """Whether what stands without a flag is a run, and not a mistake."""
    return types.get("runs") == list[str]


def _value_after(command: str, name: str, rest: list[str], types: Mapping[str, Any]) -> str:
    """Take the value of a flag from the arguments that follow it."""
    if rest and not is_flag(rest[0]) and rest[0] != "-h":
        # A run may follow a flag that needs no value.
        needs_none = _takes_runs(types) and types.get(name) is bool
        if not needs_none or rest[0].lower() in ("true", "false"):
            return rest.pop(0)
    if name == "config":
        return ""
    if types.get(name) is bool:
        return "true"
    raise UserError(
        f"{command}: argument --{_hyphen(name)}: expected one argument "
        f"(see pyro-textvae {command} --help)"
    )


def _read_files(command: str, paths: Sequence[str], names: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for path in paths:
        settings = _read_file(command, path, names)
        for name in settings:
            if name in origin:
                raise UserError(
                    f"{command}: {name} is given by both {origin[name]} and {path}: leave it out "
                    "of one"
                )
            origin[name] = path
        values |= settings
    return values


def _read_file(command: str, path: str, names: list[str]) -> dict[str, Any]:
    if not path:
        raise UserError("--config needs the name of a YAML file of settings")
    advice = "write one `name: value` a line, as in the config.yaml of a run"
    try:
        text = Path(_without_tilde("--config", path)).read_text(encoding="utf-8")
        settings = yaml.load(text, SettingsLoader)
    except OSError as error:
        raise UserError(
            f"cannot read --config {path}: {error.strerror}; give a YAML file of settings"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"--config {path} is not UTF-8 text: {advice}") from error
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or ""
        if "is given twice" in problem:
            raise UserError(f"--config {path}: {problem}: leave one of them out") from error
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        if "cannot be read" in problem:
            raise UserError(f"--config {path}{place}: {problem}") from error
        raise UserError(f"--config {path} is not YAML{place}: {advice}") from error
    if not isinstance(settings, dict):
        raise UserError(f"--config {path} is not a mapping of settings: {advice}")
    for name in settings:
        if name not in names:
            near = _nearest(str(name), names)
            raise UserError(f"{command} has no setting {name!r}, which {path} gives{near}")
    return settings


def _print_help(cls: type, command: str) -> None:
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

    class HyphenFormatter(DefaultHelpFormatter):
        """Shows flags the way they are usually typed: ``--num-samples``."""

        def format_help(self) -> str:
            text = super().format_help()
            return re.sub(r"--\w+", lambda flag: flag[0].replace("_", "-"), text)

    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    parser = ArgumentParser(
        prog=f"pyro-textvae {command}",
        description=(cls.__doc__ or "").strip().splitlines()[0],
        formatter_class=HyphenFormatter,
    )
    parser.add_argument("--config", action="config", help="YAML file of settings; flags override")
    parser.add_class_arguments(_with_types(cls))
    parser.print_help()


def _with_types(cls: type) -> type:
    """The class with types for annotations.

    To read an annotation that is text, the parser runs the imports under ``TYPE_CHECKING`` of the
    class's module, and torch takes seconds to import.
    """
    types = get_type_hints(cls)
    typed = [(each.name, types[each.name], copy(each)) for each in fields(cls)]
    return make_dataclass(cls.__name__, typed, bases=(cls,), namespace={"__doc__": cls.__doc__})


def _nearest(name: str, known_names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known_names, n=1)
    hint = f"; did you mean --{_hyphen(near[0])}?" if near else ""
    return f"{hint} (see --help)"


def _hyphen(name: str) -> str:
    return name.replace("_", "-")


def as_mapping(settings: Any) -> dict[str, Any]:
    """The fields of a settings object, by name."""
    return {field.name: getattr(settings, field.name) for field in fields(settings)}
