# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``compress`` and ``decompress`` on a trained run."""

import re

import pytest


@pytest.fixture
def text(corpus, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes((corpus / "test.txt").read_bytes() + b"The dog  ran\n\n")
    return path


def test_there_and_back(succeeds, check_refused, run, text):
    out = succeeds("compress", run, text)
    assert re.search(r"lines +11: 0 by the model, 9 with a change beside it, 2 as they are", out)
    assert re.search(r"coded +\d+\.\d{3} nats per sentence \(9 sentences\)", out)
    assert re.search(r"others +gzip \d+, bz2 \d+, xz \d+, zstd -19 \d+\n", out)
    archive = text.with_name("mine.txt.tvae")
    back = text.with_name("back.txt")
    said = succeeds("decompress", run, archive, "-o", back)
    assert (
        said == f"written to {back}: {len(text.read_bytes())} bytes, the very ones that were "
        "compressed\n"
    )
    assert back.read_bytes() == text.read_bytes()
    check_refused("mine.txt exists: give another --out", "decompress", run, archive)
    check_refused("mine.txt.tvae exists", "compress", run, text)
    succeeds("compress", run, text, "--overwrite", "--bits", "4")


def test_one_byte_and_too_long_a_sentence(succeeds, run, tmp_path):
    """Lines that no sentence of the model stands for are kept as they are."""
    path = tmp_path / "odd.txt"
    for content in (b"x", b"\n", b"the cat sat in the mat " * 400 + b"\nthe dog ran in the sun\n"):
        path.write_bytes(content)
        succeeds("compress", run, path, "--overwrite")
        back = tmp_path / "back.txt"
        succeeds("decompress", run, tmp_path / "odd.txt.tvae", "--out", back, "--overwrite")
        assert back.read_bytes() == content


def test_bad_files(check_refused, run, language_model_run, succeeds, text, tmp_path):
    succeeds("compress", run, text)
    archive = text.with_name("mine.txt.tvae")
    out = ["--out", tmp_path / "new.txt"]
    check_refused("compressed by the weights", "decompress", language_model_run, archive, *out)
    cut = tmp_path / "cut.tvae"
    cut.write_bytes(archive.read_bytes()[:-9])
    check_refused("cannot decompress .*cut short or changed", "decompress", run, cut, *out)
    cut.write_bytes(b"")
    check_refused("not an archive that compress wrote", "decompress", run, cut, *out)
    check_refused("the text is empty", "compress", run, cut, *out)
    cut.write_bytes(b"x")
    check_refused("not an archive that compress wrote", "decompress", run, cut, *out)
    kept = tmp_path / "kept.txt"
    kept.write_bytes(b"mine")
    check_refused("not an archive", "decompress", run, cut, "--out", kept, "--overwrite")
    assert kept.read_bytes() == b"mine"
    check_refused("there is no folder", "compress", run, text, "--out", tmp_path / "no" / "x")
    check_refused("is a folder", "decompress", run, archive, "--out", tmp_path, "--overwrite")
    own = ["--out", run / "model.safetensors", "--overwrite"]
    check_refused("is a file of the run itself", "compress", run, text, *own)
    check_refused("is a file of the run itself", "decompress", run, archive, *own)
    check_refused("does not end in .tvae", "decompress", run, text)
    check_refused("cannot read .*missing: No such file", "compress", run, tmp_path / "missing")
    check_refused("compress needs a file: pyro-textvae compress RUN FILE", "compress", run)
    check_refused("bits must lie in 1 to 16, got 40", "compress", run, text, "--bits", "40", *out)
    assert not (tmp_path / "new.txt").exists()
