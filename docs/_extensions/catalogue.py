# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A page for each member of the catalogue and each public package, written from its docstrings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyro_textvae
from pyro_textvae import zoo

if TYPE_CHECKING:
    from sphinx.application import Sphinx

TITLES = {
    "models": "Models",
    "guides": "Guides",
    "priors": "Priors",
    "conditional_priors": "Priors given a source",
    "decoders": "Decoders",
    "encoders": "Encoders",
    "objectives": "Objectives",
    "constraints": "Constraints on the KL term",
    "auxiliaries": "Auxiliary losses",
    "kl_schedules": "Schedules of the KL weight",
    "proposals": "Proposals",
    "procedures": "Training procedures",
    "loggers": "Loggers",
    "sources": "Sources of text",
    "formats": "Formats of files",
    "layouts": "Layouts of documents",
    "tokenizers": "Tokenizers",
    "worlds": "Worlds",
    "methods": "Decoding methods",
    "metrics": "Metrics of text",
}
"""The heading of each kind; a kind without one is shown by its name."""


def public_packages() -> list[str]:
    """All packages that say in ``__all__`` what they offer, without the folders of the catalogue.

    A package of the command line alone offers nothing to a program.
    """
    of_members = set(zoo.FOLDERS.values())
    found = ["pyro_textvae"]
    for module in pkgutil.walk_packages(pyro_textvae.__path__, "pyro_textvae."):
        if module.ispkg and module.name not in of_members:
            if getattr(importlib.import_module(module.name), "__all__", None):
                found.append(module.name)
    return found


def summary(documented: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(documented) or "").split("\n\n")[0].replace("\n", " ")


def of_the_package(value: Any) -> bool:
    """Whether a name stands for a class or function of this package."""
    return (inspect.isclass(value) or inspect.isroutine(value)) and (
        value.__module__.startswith("pyro_textvae")
    )


def write(path: Path, lines: list[str]) -> None:
    """Write a page, unless it stands there already: an unchanged page is not built again."""
    text = "\n".join(lines) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def heading(text: str) -> list[str]:
    """A title in reStructuredText, with room for wide characters."""
    return [text, "=" * (2 * len(text)), ""]


def write_catalogue(folder: Path) -> dict[type, tuple[str, str]]:
    """The pages of all kinds and their members; the kind and name of each class."""
    members: dict[type, tuple[str, str]] = {}
    for kind in zoo.FOLDERS:
        rows = []
        for name in zoo.names(kind):
            cls = zoo.load(kind, name)
            members[cls] = (kind, name)
            write(
                folder / kind / f"{name}.rst",
                [
                    *heading(f"``{name}``"),
                    f".. autoclass:: {cls.__module__}.{cls.__name__}",
                    "   :members:",
                ],
            )
            rows += [f"   * - :doc:`{name} <{kind}/{name}>`", f"     - {summary(cls)}"]
        table = [".. list-table::", "   :widths: 25 75", "", *rows, ""]
        tree = [".. toctree::", "   :hidden:", "", *(f"   {kind}/{n}" for n in zoo.names(kind))]
        write(folder / f"{kind}.rst", [*heading(TITLES.get(kind, kind)), *table, *tree])
    write(
        folder / "index.rst",
        [
            *heading("Catalogue"),
            "Every member that a setting can name; one of your own goes wherever a name does.",
            "",
            ".. toctree::",
            "   :maxdepth: 2",
            "",
            *(f"   {kind}" for kind in zoo.FOLDERS),
        ],
    )
    return members


def write_reference(folder: Path, members: dict[type, tuple[str, str]]) -> None:
    """A page for each public package with its names, each of them described once."""
    described: set[int] = set()
    pages = []
    for package in public_packages():
        module = importlib.import_module(package)
        lines = [*heading(f"``{package}``"), summary(module), ""]
        for name in module.__all__:
            value = getattr(module, name)
            if value in members if inspect.isclass(value) else False:
                kind, member = members[value]
                lines += [f"- ``{name}``: :doc:`/catalogue/{kind}/{member}`", ""]
            elif not of_the_package(value):
                lines += [f"- ``{name}``", ""]
            elif id(value) in described:
                lines += [f"- ``{name}``: :py:obj:`{value.__module__}.{value.__qualname__}`", ""]
            else:
                described.add(id(value))
                what = "autoclass" if inspect.isclass(value) else "autofunction"
                lines += [f".. {what}:: {value.__module__}.{value.__qualname__}"]
                lines += ["   :members:", ""] if what == "autoclass" else [""]
        write(folder / f"{package}.rst", lines)
        pages.append(package)
    write(
        folder / "index.rst",
        [
            *heading("Reference"),
            "Every public name, by the package that it is imported from.",
            "",
            ".. toctree::",
            "   :maxdepth: 1",
            "",
            *(f"   {page}" for page in pages),
        ],
    )


def write_pages(app: Sphinx) -> None:
    """Write both, before Sphinx looks for pages."""
    for folder in ("catalogue", "reference"):
        shutil.rmtree(Path(app.srcdir) / folder, ignore_errors=True)
    members = write_catalogue(Path(app.srcdir) / "catalogue")
    write_reference(Path(app.srcdir) / "reference", members)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
