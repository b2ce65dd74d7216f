# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A new member of each kind is one file and its export line in the folder's ``__init__.py``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyro_textvae
from pyro_textvae import zoo

# Where users import a kind from, unless it is the kind's folder itself.
PUBLIC = {
    "decoders": "pyro_textvae.nn",
    "encoders": "pyro_textvae.nn",
    "objectives": "pyro_textvae.infer",
    "constraints": "pyro_textvae.infer",
    "auxiliaries": "pyro_textvae.infer",
    "kl_schedules": "pyro_textvae.infer",
    "methods": "pyro_textvae.generation",
    "metrics": "pyro_textvae.assessment",
}

LOOK = """
import importlib, json, sys
import pyro_textvae
from pyro_textvae import zoo

answers = {"package": pyro_textvae.__file__}
for kind, (room, name) in json.loads(sys.argv[1]).items():
    public = importlib.import_module(room)
    loaded = zoo.load(kind, "newcomer")
    answers[kind] = {
        "listed": "newcomer" in zoo.names(kind),
        "loaded": loaded.__name__ == name,
        "importable": getattr(public, name, None) is loaded,
        "exported": name in public.__all__,
    }
print(json.dumps(answers))
"""


def class_name(kind):
    return "Newcomer" + kind.title().replace("_", "")


def test_one_file_and_one_export_line_make_a_member(tmp_path):
    """In a copy of the package, with one more member of each kind."""
    package = tmp_path / "pyro_textvae"
    source = Path(pyro_textvae.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    asked = {}
    for kind, folder in zoo.FOLDERS.items():
        _add_member(package.joinpath(*folder.split(".")[1:]), kind, folder)
        asked[kind] = (PUBLIC.get(kind, folder), class_name(kind))
    run = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(asked)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answers = json.loads(run.stdout)
    assert Path(answers.pop("package")).parent == package
    yes = {"listed": True, "loaded": True, "importable": True, "exported": True}
    assert answers == dict.fromkeys(zoo.FOLDERS, yes)


def _add_member(path, kind, folder):
    """The two edits: a file, of a class that is a sibling's child, and the export."""
    sibling = zoo.load(kind, zoo.names(kind)[0])
    name = class_name(kind)
    (path / "newcomer.py").write_text(
        f"from {sibling.__module__} import {sibling.__name__}\n\n\n"
        f"class {name}({sibling.__name__}):\n"
        "    pass\n"
    )
    exports = (path / "__init__.py").read_text()
    assert exports.count("\n__all__ = [") == 1
    line = f'\nfrom {folder}.newcomer import {name}\n\n__all__ = ["{name}", '
    (path / "__init__.py").write_text(exports.replace("\n__all__ = [", line))
