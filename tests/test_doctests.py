# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every example in a docstring of the package, of ``models/`` and of ``guides/`` runs."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pyro
import pytest

import pyro_textvae
from pyro_textvae import zoo

PACKAGE = Path(pyro_textvae.__file__).parent


def modules_with_examples():
    """Names of the modules whose text has one; ``models`` and ``guides`` by their links."""
    folders = (PACKAGE, PACKAGE / "models", PACKAGE / "guides")
    files = {file for folder in folders for file in folder.rglob("*.py") if _has_example(file)}
    return sorted(
        ".".join(["pyro_textvae", *file.relative_to(PACKAGE).with_suffix("").parts])
        for file in files
    )


def _has_example(file):
    return ">>> " in file.read_text()


@pytest.mark.parametrize("name", [n.removesuffix(".__init__") for n in modules_with_examples()])
def test_examples(name):
    """Each docstring on its own: random numbers from one seed, and an empty parameter store."""
    module = importlib.import_module(name)
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    lines = inspect.getsource(module).splitlines()
    written = sum(line.strip().startswith(">>> ") for line in lines)
    # doctest passes over what it takes for another module's, such as a decorated function.
    assert sum(len(test.examples) for test in tests) == written
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report = []
    for test in tests:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("kind", ["objectives", "constraints", "kl_schedules", "methods"])
def test_every_member_shows_an_example_and_where_it_comes_from(kind):
    """And its formula, in objectives and constraints, with the source's address."""
    for name in zoo.names(kind):
        text = zoo.load(kind, name).__doc__
        assert ">>> " in text, name
        if kind in ("objectives", "constraints"):
            assert ".. math::" in text, name
            assert re.search(r"Source: [^>]*https?://", text), name
