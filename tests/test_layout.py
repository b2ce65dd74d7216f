# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The house: folders, links, exports, packaging and the direction of imports."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

import pyro_textvae
from pyro_textvae import zoo
from tests.distributed_files import NOT_IN_SDIST

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pyro_textvae"
TRAINING = "pyro_textvae.training"


@pytest.mark.parametrize("kind", zoo.FOLDERS)
def test_every_member_has_its_export_line(kind):
    folder = PACKAGE.joinpath(*zoo.FOLDERS[kind].split(".")[1:])
    exported = ast.parse((folder / "__init__.py").read_text())
    names = {
        alias.name
        for node in exported.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for member in zoo.names(kind):
        assert zoo.load(kind, member).__name__ in names


@pytest.mark.parametrize("name", ["models", "guides"])
def test_catalogue_is_flat_and_linked_into_the_package(name):
    assert not [path for path in (ROOT / name).rglob("*.py") if path.parent != ROOT / name]
    link = PACKAGE / name
    assert link.resolve() == ROOT / name, (
        f"{link} is not a link to ../{name}: run git config core.symlinks true, then git checkout"
    )


def test_there_is_one_identity():
    assert "models" not in sys.modules
    assert "guides" not in sys.modules
    assert pyro_textvae.load_run.__module__ == "pyro_textvae.runs.load"


def test_every_package_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        ".".join(["pyro_textvae", *path.parent.relative_to(PACKAGE).parts])
        for path in PACKAGE.rglob("__init__.py")
    }
    found |= {"pyro_textvae.models", "pyro_textvae.guides"}
    assert set(declared["packages"]) == found


def test_imports_go_one_way():
    checked = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 kept, 0 broken" in checked.stdout


def _imported(graph, module):
    """Modules that ``module`` imports, itself or by others."""
    reached, left = set(), [module]
    while left:
        new = graph.find_modules_directly_imported_by(left.pop()) - reached
        reached |= new
        left += new
    return reached


def test_no_module_imports_itself_by_way_of_others():
    """Not for its types alone either: what needs a circle needs a Protocol."""
    graph = grimp.build_graph("pyro_textvae", exclude_type_checking_imports=False, cache_dir=None)
    imported = {module: _imported(graph, module) for module in graph.modules}
    assert not sorted(module for module in imported if module in imported[module])
    procedures = [module for module in imported if module.startswith(f"{TRAINING}.procedure")]
    assert len(procedures) > 3
    assert not [name for name in procedures if f"{TRAINING}.trainer" in imported[name]]


def test_importing_the_package_does_not_import_torch():
    code = "import sys, pyro_textvae, pyro_textvae.cli.main; print('torch' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert printed == "False\n"


def test_version_is_the_same_wherever_a_release_says_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text().splitlines()
    assert project["version"] == pyro_textvae.__version__
    assert f"version: {pyro_textvae.__version__}" in citation


def test_manifest_names_every_file_beside_the_folders():
    """What setuptools adds by itself, and what serves the repository alone, need no line."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no repository")
    files = {name for name in listed.stdout.splitlines() if "/" not in name}
    named = set((ROOT / "MANIFEST.in").read_text().split())
    by_itself = {"README.md", "LICENSE", "pyproject.toml", "MANIFEST.in"}
    assert files - named - by_itself - NOT_IN_SDIST == set()
