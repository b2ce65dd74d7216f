# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every test gets a cache of its own and small files in the three formats."""

import pytest

SENTENCES = {
    "train": [
        "the cat sat on the mat",
        "the dog sat",
        "a cat and a dog",
        "the bird sang on the mat in the sun",
        "a bird sat",
        "the dog and the cat sat on a mat",
    ],
    "valid": ["the cat sang", "a zebra sat"],
    "test": ["the bird and the cat sat", "the dog sang on a mat"],
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(cache))
    return cache


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "toy"
    path.mkdir()
    for split, sentences in SENTENCES.items():
        (path / f"{split}.txt").write_text("".join(f"{line}\n" for line in sentences))
    (path / "ORIGIN.txt").write_text("made for the tests")
    return path


@pytest.fixture
def one_file(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"sentence number {i} of many\n" for i in range(400)))
    return path
