# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Lines of files, by whatever they end, and those that are too long to be read."""

import subprocess
import sys

import pytest

from pyro_textvae.data import load_corpus, text_lines
from pyro_textvae.data.text_lines import lines
from pyro_textvae.errors import UserError


def read(path, data):
    path.write_bytes(data)
    return list(lines(path))


@pytest.mark.parametrize("last", [b"", b"\r", b"\n", b"\r\n"])
def test_carriage_returns_alone_end_lines(tmp_path, last, monkeypatch):
    expected = [(1, "one"), (2, ""), (3, "three \u00e9")]
    data = "one\r\rthree \u00e9".encode()
    assert read(tmp_path / "a.txt", data + last) == expected
    monkeypatch.setattr(text_lines, "_BLOCK", 3)
    assert [text for _, text in read(tmp_path / "a.txt", data + last) if text] == [
        "one",
        "three \u00e9",
    ]


@pytest.mark.parametrize("data", [b"a\rb\nc\n", b"a\nb\rc", b"a\rb\n\nc"])
def test_a_carriage_return_is_a_character_where_line_feeds_end_lines(tmp_path, data):
    expected = data.decode().removesuffix("\n").split("\n")
    assert [text for _, text in read(tmp_path / "a.txt", data)] == expected


@pytest.mark.parametrize(("data", "count"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\r\n", 1)])
def test_a_line_is_one_line(tmp_path, data, count):
    assert read(tmp_path / "a.txt", data) == [(1, "a")] * count


def test_a_file_with_carriage_returns_trains_on_all_of_its_sentences(folder):
    text = (folder / "train.txt").read_text()
    before = load_corpus(folder)
    (folder / "train.txt").write_bytes(text.replace("\n", "\r").encode())
    assert load_corpus(folder).fingerprint == before.fingerprint


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_a_line_is_refused_when_the_most_is_read_of_it(tmp_path, monkeypatch, end):
    monkeypatch.setattr(text_lines, "LONGEST_LINE_BYTES", 20)
    monkeypatch.setattr(text_lines, "_BLOCK", 7)
    assert len(read(tmp_path / "a.txt", (b"a" * 19 + end) * 3)) == 3
    with pytest.raises(UserError, match="a.txt line 3 is longer than 20 bytes"):
        read(tmp_path / "a.txt", (b"a" * 10 + end) * 2 + b"a" * 100 + end)


@pytest.mark.parametrize("kind", ["word", "nltk", "character", "bpe"])
@pytest.mark.parametrize("options", [{}, {"max_length": 20}, {"max_length": 20, "truncate": True}])
@pytest.mark.parametrize("piece", ["a ", "a\u00e9"])
def test_a_far_too_long_text_is_refused_whatever_the_settings(
    folder, monkeypatch, kind, options, piece
):
    monkeypatch.setattr("pyro_textvae.data.longest_text.LONGEST_TEXT", 1000)
    monkeypatch.setattr("pyro_textvae.data.vocabulary.in_lists", lambda texts: 1 / len([*texts]))
    (folder / "train.txt").write_text("a cat\n" + piece * 600, encoding="utf-8")
    monkeypatch.setattr("pyro_textvae.data.tokenizer.Tokenizer.encode_batch", lambda *_: 1 / 0)
    match = "train.txt line 2 has 1,(199|200) characters, over 1,000"
    with pytest.raises(UserError, match=match):
        load_corpus(folder, tokenizer=kind, **options)


@pytest.mark.parametrize("options", [{}, {"max_length": 20, "truncate": True}])
def test_a_far_too_long_word_is_refused_before_merges_are_learned_of_it(
    folder, monkeypatch, options
):
    monkeypatch.setattr("pyro_textvae.data.longest_text.LONGEST_WORD", 500)
    (folder / "train.txt").write_text("a cat\n" + "a" * 500 + " b\n" + "a " * 300)
    assert len(load_corpus(folder, tokenizer="bpe", **options).train) == 3
    (folder / "train.txt").write_text("a cat\nto a " + "a" * 501)
    with pytest.raises(UserError, match="train.txt line 2 has 501 characters without a space"):
        load_corpus(folder, tokenizer="bpe", **options)


MEASURE = """
import resource, sys
import pyro_textvae.data
from pyro_textvae.errors import UserError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    pyro_textvae.data.load_corpus(sys.argv[1], tokenizer="bpe", max_length=20, truncate=True)
except UserError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


def test_a_file_of_one_line_is_not_read_whole(folder):
    with (folder / "train.txt").open("wb") as file:
        for _ in range(80):
            file.write(b"a" * 2**20)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    kilobytes, message = done.stdout.split(" ", 1)
    assert message.startswith("train.txt line 1 is longer than 16,777,216 bytes")
    assert int(kilobytes) < 60_000
