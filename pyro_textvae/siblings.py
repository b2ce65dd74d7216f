# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The modules beside a file of the user's own that it imports: they are part of it."""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def siblings_of(path: Path) -> list[Path]:
    """The files beside ``path`` that it imports by their names, and those that they import.

    Of ``import layers`` and ``from layers import Attention`` in ``mine.py``, ``layers.py`` in the
    same folder. Sorted by name; ``path`` itself is not among them.
    """
    reached: dict[str, Path] = {}
    left = [path]
    while left:
        for name in _imported_names(left.pop()):
            file = path.parent / f"{name}.py"
            if name not in reached and file != path and file.is_file():
                reached[name] = file
                left.append(file)
    return [reached[name] for name in sorted(reached)]


def content_of(path: Path) -> bytes:
    """The file, followed by the names and hashes of its siblings, if it has any."""
    content = path.read_bytes()
    for file in siblings_of(path):
        content += f"\n{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode()
    return content


def builtins_with(path: Path, load: Callable[[Path], ModuleType]) -> dict[str, Any]:
    """Builtins for the code of ``path`` whose import statements find its siblings.

    Nothing is put on ``sys.path``, where another file's sibling of the same name would be found.

    :param load: makes a module of a file.
    """
    files = {file.stem: file for file in siblings_of(path)}

    def import_(name: str, *args: Any, **kwargs: Any) -> ModuleType:
        if name in files:
            return load(files[name])
        return builtins.__import__(name, *args, **kwargs)

    return {**vars(builtins), "__import__": import_}


def _imported_names(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        # To say so is for the one who executes it.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
