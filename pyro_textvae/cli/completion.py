# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a shell completes after ``pyro-textvae``: commands, their settings, values and paths."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pyro_textvae import zoo
from pyro_textvae.cli.parsing import PATHS
from pyro_textvae.config.checks import Member
from pyro_textvae.errors import UserError

_FOLDERS = {"run", "resume"}
_WITHOUT_A_FLAG = ("run", "runs", "file")
PARTS = {
    **{name: f"{name}s" for name in ("model", "guide", "prior", "conditional_prior", "decoder")},
    **{name: f"{name}s" for name in ("encoder", "objective", "constraint")},
    "source_encoder": "encoders",
}
"""The kinds of the parts of a run, whose settings are checked where they are built."""


def completion_script(shell: str, commands: Mapping[str, str]) -> str:
    """The script that a shell reads to complete the command line.

    :param shell: bash, zsh or another that shtab knows.
    :param commands: what each command does, by its name.
    :raises UserError: for a shell that shtab does not know, or where shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise UserError(
            "completion needs shtab, which is not installed: pip install 'pyro-textvae[completion]'"
        ) from error
    if shell not in shtab.SUPPORTED_SHELLS:
        raise UserError(
            f"--print-completion takes {', '.join(shtab.SUPPORTED_SHELLS)}, got {shell!r}"
        )
    parser = argparse.ArgumentParser(prog="pyro-textvae")
    parser.add_argument("--version", action="store_true", help="print the version")
    of_commands = parser.add_subparsers()
    for name, what in commands.items():
        for argument in _arguments(of_commands.add_parser(name, help=what), name):
            if argument.dest in _FOLDERS:
                argument.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif argument.dest in PATHS:
                argument.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell))


def _arguments(parser: argparse.ArgumentParser, command: str) -> Iterator[argparse.Action]:
    """The settings of a command, as arguments of a parser."""
    module = importlib.import_module(f"pyro_textvae.cli.{command}")
    options = getattr(module, f"{command.capitalize()}Options")
    types = get_type_hints(options)
    yield parser.add_argument("--config", help="YAML file of settings")
    for each in fields(options):
        if each.name in _WITHOUT_A_FLAG:
            yield parser.add_argument(each.name, nargs="*" if each.name == "runs" else "?")
        flag = f"--{each.name.replace('_', '-')}"
        values = _values(each, types[each.name])
        if values is None:
            yield parser.add_argument(flag, dest=each.name)
        else:
            yield parser.add_argument(flag, dest=each.name, nargs="?", choices=values)


def _values(setting: Field[Any], kind: Any) -> list[str] | None:
    """The values that a setting may take, where they can be listed."""
    if kind is bool:
        return ["true", "false"]
    kinds = [c.kind for c in setting.metadata.get("conditions", ()) if isinstance(c, Member)]
    if kinds or setting.name in PARTS:
        return zoo.names(kinds[0] if kinds else PARTS[setting.name])
    literals = [each for each in (kind, *get_args(kind)) if get_origin(each) is Literal]
    return [str(value) for literal in literals for value in get_args(literal)] or None
