# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tiny trained runs, and ways to call the command line in this process."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from pyro_textvae.cli.main import main

TINY = ["--embedding-dim", "4", "--hidden-dim", "5", "--latent-dim", "2", "--epochs", "1"]
LABELLED = ["--model", "labelled_vae", "--guide", "labelled", "--label-column", "mood"]
PLACES = ("mat", "sun", "box", "sea", "hut", "bed")


def write_corpus(folder, **texts):
    """48 sentences in three splits; ``texts`` replaces whole files."""
    sentences = [
        f"the {animal} {verb} in the {place}"
        for animal in ("cat", "dog", "bird", "fox")
        for verb in ("sat", "ran", "sang", "slept")
        for place in ("mat", "sun", "box")
    ]
    splits = {"train": sentences[:32], "valid": sentences[32:40], "test": sentences[40:]}
    folder.mkdir()
    for split, lines in splits.items():
        text = texts.get(split, "".join(f"{line}\n" for line in lines))
        (folder / f"{split}.txt").write_text(text)
    return folder


def write_rows(folder, **splits):
    """Texts with a mood; of every third of train it is not given."""
    rows = {
        split: [
            (f"the {mood} {animal} {verb} in the {place}", mood)
            for mood in ("glad", "sad")
            for animal in ("cat", "dog")
            for verb in ("sat", "ran")
            for place in places
        ]
        for split, places in {"train": PLACES, "valid": PLACES[:2], "test": PLACES[2:4]}.items()
    }
    rows["train"] = [(text, "" if i % 3 == 2 else y) for i, (text, y) in enumerate(rows["train"])]
    folder.mkdir(exist_ok=True)
    for split, default in rows.items():
        lines = ["text\tmood", *(f"{text}\t{mood}" for text, mood in splits.get(split, default))]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def contents(path):
    """Bytes and time of every file under a path; None where there is nothing."""
    if not path.exists():
        return None
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("text") / "toy")


def _train(tmp_path_factory, *arguments):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        torch.set_num_threads(1)
        assert main(["train", *map(str, arguments), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory, corpus):
    """A sentence VAE after one epoch; no test may write into it."""
    return _train(tmp_path_factory, "--data", corpus, *TINY)


@pytest.fixture(scope="session")
def language_model_run(tmp_path_factory, corpus):
    return _train(tmp_path_factory, "--data", corpus, *TINY, "--model", "language_model")


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("labels") / "moods")


@pytest.fixture(scope="session")
def labelled_run(tmp_path_factory, rows):
    return _train(tmp_path_factory, "--data", rows, *LABELLED, *TINY)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Default folders of runs land here, not in the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run_copy(run, tmp_path):
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.fixture
def new(tmp_path):
    """A run folder that does not exist yet."""
    return tmp_path / "new"


@pytest.fixture
def train(corpus, new):
    """Arguments that train a tiny run into ``new``; further ones override them."""
    return ["train", "--data", corpus, *TINY, "--out", new]


def last_of_each(arguments):
    """The arguments without the flags that later ones replace, which the command line refuses."""
    texts = [str(argument) for argument in arguments]
    groups, name = {}, 0
    for place, text in enumerate(texts):
        if text.startswith("--") and text[2:3].isalpha():
            name = text.partition("=")[0].replace("_", "-")
            name = (name, place) if name == "--config" else name
            groups.pop(name, None)
        groups.setdefault(name, []).append(text)
    return [text for group in groups.values() for text in group]


@pytest.fixture
def cli(capsys):
    """Call the command line; its status, standard output and standard error."""

    def call(*arguments):
        capsys.readouterr()
        status = main(last_of_each(arguments))
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def succeeds(cli):
    """Call the command line, see it succeed, and return what it printed."""

    def call(*arguments):
        status, out, err = cli(*arguments)
        assert (status, err) == (0, "")
        return out

    return call


@pytest.fixture
def check_refused(cli):
    """Call the command line and see it refuse: one line, and every path argument left as it was."""

    def call(pattern, *arguments):
        paths = [argument for argument in arguments if isinstance(argument, Path)]
        before = [contents(path) for path in paths]
        status, _, err = cli(*arguments)
        assert status == 2
        assert re.fullmatch(r"pyro-textvae: error: [^\n]+\n", err)
        assert re.search(pattern, err), err
        assert [contents(path) for path in paths] == before

    return call
