# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Find a member of the catalogue, or a class of the user's own, by its name; build it."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pyro_textvae.errors import UserError, in_one_line

FOLDERS = {
    "models": "pyro_textvae.models",
    "guides": "pyro_textvae.guides",
    "priors": "pyro_textvae.priors",
    "decoders": "pyro_textvae.nn.decoders",
    "encoders": "pyro_textvae.nn.encoders",
    "sources": "pyro_textvae.data.sources",
    "tokenizers": "pyro_textvae.data.tokenizers",
    "objectives": "pyro_textvae.infer.objectives",
    "constraints": "pyro_textvae.infer.constraints",
    "proposals": "pyro_textvae.evaluation.proposals",
    "procedures": "pyro_textvae.training.procedures",
}
"""Every kind and its folder: a file there is a member by existing."""


def names(kind: str) -> list[str]:
    """Names of the members of a kind: the files of its folder.

    :raises UserError: for an unknown kind.
    """
    if kind not in FOLDERS:
        raise UserError(f"unknown kind {kind!r}: one of {', '.join(FOLDERS)}")
    folder = Path(__file__).parent.joinpath(*FOLDERS[kind].split(".")[1:])
    return sorted(module.name for module in pkgutil.iter_modules([str(folder.resolve())]))


def load(kind: str, spec: str) -> type:
    """The class that ``spec`` names.

    :param spec: a member's name (``"sentence_vae"``), ``"package.module:Class"``, or a file
        ``"path/to/mine.py:Class"``; the class may be left out where the file defines just one.
    :raises UserError: when there is no such member, file, module or class.
    """
    known = names(kind)
    if spec in known:
        return _only_class(importlib.import_module(f"{FOLDERS[kind]}.{spec}"), spec)
    place, _, class_name = spec.partition(":")
    if place.endswith(".py"):
        module = _import_file(Path(place))
    elif class_name:
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            raise UserError(f"cannot import {place!r} of {spec!r}: {error}") from error
    else:
        near = difflib.get_close_matches(spec, known, n=1)
        hint = f"did you mean {near[0]!r}? Known" if near else "known"
        raise UserError(
            f"there is no {kind.removesuffix('s')} {spec!r}; {hint}: {', '.join(known)}; "
            "your own goes as path/to/file.py:Class"
        )
    if not class_name:
        return _only_class(module, spec)
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        raise UserError(f"{place} defines no class {class_name!r}")
    return found


def build(cls: type, values: Mapping[str, Any], used: set[str] | None = None) -> Any:
    """Call ``cls`` with those of ``values`` that its ``__init__`` names.

    :param used: collects the names that were taken.
    :raises UserError: when a parameter without a default has no value, or a value is refused.
    """
    taken = {}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in values:
            taken[parameter.name] = values[parameter.name]
        elif parameter.default is parameter.empty:
            raise UserError(
                f"{cls.__name__} needs {parameter.name!r}, which is not among "
                f"{', '.join(sorted(values))}: give it in options"
            )
    if used is not None:
        used.update(taken)
    try:
        return cls(**taken)
    except (TypeError, ValueError) as error:
        raise UserError(f"cannot build {cls.__name__}: {error}") from error
    except Exception as error:
        raise UserError(f"cannot build {cls.__name__}: {in_one_line(error)}") from error


def _only_class(module: ModuleType, spec: str) -> type:
    public = [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]
    if len(public) != 1:
        found = ", ".join(cls.__name__ for cls in public) or "none"
        raise UserError(f"{spec} must define one public class, found {found}: say which as :Class")
    return public[0]


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    # The contents are in the name: an edited file is another module, and two runs' copies differ.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    name = f"pyro_textvae_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"cannot import {path}: it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"cannot import {path}: {in_one_line(error)}") from error
    return module


def name_of(kind: str, cls: type) -> str | None:
    """The name of a class in the catalogue; None for a class from elsewhere.

    >>> from pyro_textvae.data.tokenizers import WordTokenizer
    >>> name_of("tokenizers", WordTokenizer)
    'word'

    :raises UserError: for an unknown kind.
    """
    folder, _, name = cls.__module__.rpartition(".")
    return name if name in names(kind) and folder == FOLDERS[kind] else None


def digest_of(cls: type) -> str:
    """A short hash of the file that defines a class, and of which of its classes it is.

    The same for a copy of the file elsewhere. Of a class without a file, of its name alone.
    """
    digest = hashlib.sha256(cls.__qualname__.encode())
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is not None and Path(file).is_file():
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:16]
