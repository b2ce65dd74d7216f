# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Modules beside a file of the user's own: kept with the run, and part of what is trusted."""

import shutil

import pytest

from pyro_textvae import zoo
from pyro_textvae.config import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs.code import UntrustedCodeError
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import resume, train
from pyro_textvae.siblings import siblings_of

MODEL = """
import torch
from widths import STATE
from pyro_textvae.models import SentenceVAE

class Mine(SentenceVAE):
    state = STATE

    def lazily(self):
        import layers
        return layers.NAME
"""
FILES = {
    "mine.py": MODEL,
    "widths.py": "from layers import NAME\nSTATE = NAME + ' 7'\n",
    "layers.py": "NAME = 'wide'\n",
    "unused.py": "raise RuntimeError\n",
}


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def settings(files):
    small = {"embedding_dim": 2, "hidden_dim": 3, "latent_dim": 1, "epochs": 1, "device": "cpu"}
    return TrainConfig(data="grammar", num_sentences=60, model=f"{files / 'mine.py'}:Mine", **small)


def test_what_is_imported_and_what_that_imports_and_no_more(files):
    assert [file.name for file in siblings_of(files / "mine.py")] == ["layers.py", "widths.py"]
    cls = zoo.load("models", f"{files / 'mine.py'}:Mine")
    assert cls.state == "wide 7"
    assert cls.lazily(None) == "wide"


def test_each_version_of_a_sibling_is_a_module_of_its_own(files):
    spec = f"{files / 'mine.py'}:Mine"
    before = zoo.load("models", spec)
    digest = zoo.digest_of(before)
    (files / "layers.py").write_text("NAME = 'narrow'\n")
    after = zoo.load("models", spec)
    assert (before.state, after.state) == ("wide 7", "narrow 7")
    assert zoo.digest_of(after) != digest


def test_run_keeps_them_and_trusts_them_together(files, tmp_path):
    run = tmp_path / "run"
    train(settings(files), run, report=lambda line: None)
    shutil.rmtree(files)
    assert sorted(file.name for file in (run / "source" / "model").glob("*.py")) == [
        "layers.py",
        "mine.py",
        "widths.py",
    ]
    assert load_run(run)[0].state == "wide 7"
    resume(run, epochs=2, report=lambda line: None)
    (run / "source" / "model" / "layers.py").write_text("NAME = 'another'\n")
    with pytest.raises(UntrustedCodeError, match=r"mine.py \(sha256 .*layers.py \(sha256 "):
        load_run(run)


def test_sibling_that_fails_is_named(files):
    (files / "layers.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match=r"cannot import .*layers.py: ZeroDivisionError"):
        zoo.load("models", f"{files / 'mine.py'}:Mine")
