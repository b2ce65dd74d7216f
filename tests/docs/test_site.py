# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The documentation site: its pages, links and tutorials, without building it."""

import importlib
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import yaml

import pyro_textvae
from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix()
    for path in [*DOCS.glob("*.md"), *DOCS.glob("tutorials/*.md"), *DOCS.glob("zh/*.md")]
)
TUTORIALS = [path for path in PAGES if path.startswith(("tutorials/", "zh/"))]


def extension(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_packages():
    """Those that say in ``__all__`` what they offer."""
    names = [
        m.name for m in pkgutil.walk_packages(pyro_textvae.__path__, "pyro_textvae.") if m.ispkg
    ]
    return [n for n in names if getattr(importlib.import_module(n), "__all__", None)]


def cells(page):
    return re.findall(
        r"```\{code-cell\} ipython3\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.S
    )


def test_every_page_is_in_the_table_of_contents():
    listed = re.findall(r"^[\w/.-]+$", (DOCS / "index.md").read_text(), re.M)
    assert set(PAGES) - {"index"} == set(listed) - {"catalogue/index", "reference/index"}


def test_links_to_files_that_are_no_pages_lead_to_the_repository():
    links = extension("repository_links")
    page = DOCS / "writing-a-model.md"
    to_repository = links.with_repository_links(
        "[a](programs/pair.py#L3), [b](programs)", page, DOCS
    )
    assert to_repository == (
        f"[a]({links.REPOSITORY}/blob/main/docs/programs/pair.py#L3), "
        f"[b]({links.REPOSITORY}/tree/main/docs/programs)"
    )
    for kept in ("[a](labels.md)", "[a](#traps)", "[a](https://pyro.ai)", "[a](no/such/file.py)"):
        assert links.with_repository_links(kept, page, DOCS) == kept


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = DOCS / f"{page}.md"
    for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)(?:#[^)\s]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_kind_of_the_catalogue_has_a_title():
    source = (DOCS / "_extensions" / "catalogue.py").read_text()
    titles = re.findall(r'^    "(\w+)": "', source, re.M)
    assert titles == list(zoo.FOLDERS)


def test_every_public_name_is_documented():
    """Every package that offers names says what it is, and so does each name."""
    for package in public_packages():
        module = importlib.import_module(package)
        assert module.__doc__, package
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                assert inspect.getdoc(value), f"{package}.{name}"


@pytest.mark.parametrize(
    "text",
    re.findall(r"```yaml\n(.*?)```", (DOCS / "tutorials/from-the-literature.md").read_text(), re.S),
)
def test_recipes_are_settings_that_there_are(text):
    recipe = yaml.safe_load(text)
    for settings in recipe["axes"]["recipe"].values() if "axes" in recipe else [recipe]:
        TrainConfig(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorial_runs(page, monkeypatch):
    """As it stands, but smaller: less text, one epoch, few draws."""
    pytest.importorskip("pandas")
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = {"__name__": "__main__"}
    for cell in cells(page):
        small = re.sub(r"num_sentences=\d+", "num_sentences=300", cell)
        small = re.sub(r"epochs=\d+", "epochs=1", small)
        small = re.sub(r"num_samples=\d+", "num_samples=20", small)
        exec(compile(small, page, "exec"), names)
