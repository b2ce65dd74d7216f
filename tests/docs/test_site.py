# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The documentation site: its pages, links and tutorials, without building it."""

import ast
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest
import yaml

import pyro_textvae
from pyro_textvae import TextVAE, zoo
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
    pages = ("[a](labels.md)", "[a](#traps)", "[a](https://pyro.ai)", "[a](no/such/file.py)")
    for kept in (*pages, "![a](explore.png)", "![a](likelihood.svg)"):
        assert links.with_repository_links(kept, page, DOCS) == kept


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = DOCS / f"{page}.md"
    for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)(?:#[^)\s]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", [ROOT / "README.zh.md", *DOCS.glob("zh/*.md")], ids=str)
def test_chinese_lines_are_whole(path):
    """A line break between two characters is shown as a space."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    character = "[\u3001-\u303f\u4e00-\u9fff\uff00-\uffef]"
    assert re.findall(rf".*{character}\n{character}.*", text) == []


def test_every_kind_of_the_catalogue_has_a_title():
    source = (DOCS / "_extensions" / "catalogue.py").read_text()
    titles = re.findall(r'^    "(\w+)": "', source, re.M)
    assert titles == list(zoo.FOLDERS)


def without_docstring(package):
    """The names of a package, and of its classes' own, that do not say what they are."""
    module = importlib.import_module(package)
    if not module.__doc__:
        yield package
    for name in module.__all__:
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        if not inspect.getdoc(value):
            yield f"{package}.{name}"
        if inspect.isclass(value) and value.__module__.startswith("pyro_textvae"):
            for attribute, member in vars(value).items():
                of_class = isinstance(member, (staticmethod, classmethod, property))
                if attribute.startswith("_") or not (of_class or inspect.isroutine(member)):
                    continue
                if not inspect.getdoc(getattr(value, attribute)):
                    yield f"{package}.{name}.{attribute}"


def test_every_public_name_is_documented():
    """Every package that offers names says what it is, and so does each name and method."""
    packages = [*extension("catalogue").public_packages(), *zoo.FOLDERS.values()]
    assert len(packages) > 30
    assert [name for package in packages for name in without_docstring(package)] == []


def test_names_without_docstring_are_seen(monkeypatch):
    class Bare(TextVAE):
        def bare(self):
            pass

    Bare.__module__ = "pyro_textvae"
    monkeypatch.setattr(pyro_textvae, "TextVAE", Bare, raising=False)
    assert list(without_docstring("pyro_textvae")) == ["pyro_textvae.TextVAE.bare"]


RECIPES = re.findall(
    r"```yaml\n(.*?)```", (DOCS / "tutorials/from-the-literature.md").read_text(), re.S
)


@pytest.mark.parametrize("text", RECIPES)
def test_recipes_are_settings_that_there_are(text):
    recipe = yaml.safe_load(text)
    cells = recipe["axes"]["recipe"].values() if "axes" in recipe else [recipe]
    for settings in cells:
        config = TrainConfig(**settings)
        assert settings
        assert {name: getattr(config, name) for name in settings} == settings


def shown(cell, names):
    """What a notebook shows of a cell: its last expression, none where a semicolon hides it."""
    *body, last = ast.parse(cell).body
    if not isinstance(last, ast.Expr) or cell.rstrip().endswith(";"):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    if last is None:
        return []
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return [] if value is None else [repr(value)]


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorial_shows_what_it_speaks_of(page, monkeypatch, capsys):
    """As it stands, but smaller: less text, one epoch, fewer draws; every number is one."""
    pytest.importorskip("pandas")
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = {"__name__": "__main__"}
    results = []
    for cell in cells(page):
        small = re.sub(r"num_sentences=\d+", "num_sentences=300", cell)
        small = re.sub(r"epochs=\d+", "epochs=1", small)
        # With fewer there is no k-hat.
        small = re.sub(r"num_samples=[1-9]\d\d+", "num_samples=100", small)
        results += shown(small, names)
    results += capsys.readouterr().out.splitlines()
    assert results or not cells(page)
    assert not [text for text in results if re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)]
