# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where text and encoded corpora are, said in unusual ways."""

import os
from pathlib import Path

import pytest

from pyro_textvae import load_corpus
from pyro_textvae.data.cache_dir import default_cache_dir
from pyro_textvae.errors import UserError

TEXT = "".join(f"the cat number {i} sat\n" for i in range(40))


def test_home_of_nobody_is_refused():
    with pytest.raises(UserError, match=r"cannot read '~nosuchuser/x.txt': .*; write the path"):
        load_corpus("~nosuchuser/x.txt")


def test_no_home_for_the_cache(monkeypatch):
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", "~nosuchuser/cache")
    with pytest.raises(UserError, match="set PYRO_TEXTVAE_CACHE to a full path"):
        default_cache_dir()


def test_relative_cache_outlives_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    corpus = load_corpus("text.txt", cache_dir="cache")
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert len(list(corpus.batches("train", batch_size=4, shuffle=False))) > 1


def test_header_alone(tmp_path):
    path = tmp_path / "text.tsv"
    path.write_text("text\tlabel\n")
    with pytest.raises(UserError, match=r"text.tsv holds no sentence \(only a header\)"):
        load_corpus(str(path), cache_dir=tmp_path / "cache")
