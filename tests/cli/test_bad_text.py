# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text that cannot be trained on or evaluated: refused in one line, and nothing is written."""

import gzip
import os
import shutil

import pytest

from pyro_textvae.data.formats import PlainText
from tests.cli.conftest import TINY, write_corpus

SENTENCES = b"".join(b"sentence number %d of many\n" % i for i in range(100))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", r"text\.txt .*empty file.*; put one sentence a line", id="empty"),
        pytest.param(
            b"\n  \n\t\n", r"text\.txt .*only blank lines.*; put one sentence a line", id="blank"
        ),
        pytest.param(
            SENTENCES + b"a\0b\n", r"text\.txt line 101 is binary, .*give UTF-8 text", id="binary"
        ),
        pytest.param(
            b"a cat\nna\xefve\n",
            r"text\.txt line 2 is not UTF-8 .*; convert the file",
            id="latin-1",
        ),
        pytest.param(
            b"a cat\n" + b"w " * 100_000 + b"\n",
            r"text\.txt line 2 has 100,000 tokens, .*set max_length",
            id="long line",
        ),
        pytest.param(
            b"one cat\n", r"text\.txt holds one single sentence, .*add sentences", id="one sentence"
        ),
        pytest.param(
            b"a cat\na dog\n", r"split of text\.txt is empty: .*; give more", id="two sentences"
        ),
    ],
)
def test_bad_file(check_refused, train, tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    check_refused(message, *train, "--data", path)


def write_parquet(path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist([{"body": "a cat", "mood": "b"}]), path)


def write_cut_gzip(path):
    path.write_bytes(gzip.compress(SENTENCES)[:-9])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("rows.parquet", write_parquet, r"has no column 'text' or 'sentence'; it has body, mood"),
        ("text.txt.gz", write_cut_gzip, r"text\.txt\.gz is cut short or damaged"),
    ],
)
@pytest.mark.parametrize("command", ["train", "prepare"])
def test_file_that_cannot_be_read_leaves_nothing(
    check_refused, train, new, tmp_path, monkeypatch, name, write, message, command
):
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path / "cache"))
    write(tmp_path / name)
    given = ["prepare", tmp_path / name, "--layout", "ptb", "--out", new]
    if command == "train":
        given = [*train, "--data", tmp_path / name]
    check_refused(message, *given)
    assert not any((tmp_path / "cache").glob("*"))
    assert not new.exists()


@pytest.mark.parametrize("command", ["train", "prepare"])
def test_file_that_changes_while_it_is_read_leaves_nothing(
    cli, train, new, tmp_path, monkeypatch, command
):
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_bytes(SENTENCES)
    rows = PlainText.rows

    def grows(self, file):
        yield from rows(self, file)
        with path.open("ab") as end:
            end.write(b"one more\n")

    monkeypatch.setattr(PlainText, "rows", grows)
    given = ["prepare", path, "--layout", "ptb", "--out", new]
    if command == "train":
        given = [*train, "--data", path]
    status, _, err = cli(*given)
    assert status == 2
    assert err.splitlines() == [
        "pyro-textvae: error: text.txt changed while it was read; start again when nothing writes "
        "to it"
    ]
    assert not any((tmp_path / "cache").glob("*"))
    assert not new.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "nowhere.txt",
            r"no such corpus: 'nowhere\.txt'; give grammar, hf:NAME, nltk:NAME, poems",
        ),
        ("stdlibb", r"no such corpus: 'stdlibb'; did you mean 'stdlib'"),
        ("", r"source '' is not a name or a path; try stdlib"),
        ("nltk:nope", r"NLTK has no corpus reader named 'nope'; try brown, treebank"),
    ],
)
def test_unknown_corpus(check_refused, train, data, message):
    check_refused(message, *train, "--data", data)


def test_pipe_in_place_of_a_file(check_refused, train, tmp_path):
    """Its text could be read once alone, and waiting for it would have no end."""
    os.mkfifo(tmp_path / "text.txt")
    check_refused(
        r"text\.txt' is no file but a pipe or a device, .*; copy", *train, "--data=text.txt"
    )


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_split_missing_in_a_folder(check_refused, train, tmp_path, split):
    folder = write_corpus(tmp_path / "toy")
    (folder / f"{split}.txt").unlink()
    check_refused(rf"toy' has no {split} file; add {split}\.txt", *train, "--data", folder)


def test_evaluate_text_longer_than_the_model(check_refused, run, tmp_path):
    folder = write_corpus(tmp_path / "longer", test="the cat " * 9 + "\n")
    check_refused(
        r"longer has a sentence of 19 tokens, the model was built for 7: train it .*max_length",
        *("evaluate", run, "--data", folder),
    )


def test_evaluate_unknown_text(check_refused, run):
    check_refused(r"no such corpus: 'nowhere'; give", "evaluate", run, "--data", "nowhere")


@pytest.mark.parametrize(
    "command", [["train", "--epochs", "2", "--resume"], ["evaluate"], ["reconstruct"]]
)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "test.txt").write_text("the cat sat\n"),
            r"corpus \S+toy is not the one that \S+new was trained on: .*bring the old text back",
        ),
        (shutil.rmtree, r"no such corpus: '\S+toy'; give"),
    ],
    ids=["changed", "gone"],
)
def test_corpus_of_a_run_has_changed(
    succeeds, check_refused, new, tmp_path, command, spoil, message
):
    folder = write_corpus(tmp_path / "toy")
    succeeds("train", "--data", folder, *TINY, "--out", new)
    spoil(folder)
    check_refused(message, *command, new)


def test_interpolate_with_one_test_sentence(succeeds, check_refused, new, tmp_path):
    folder = write_corpus(tmp_path / "toy", test="the cat sat\n")
    succeeds("train", "--data", folder, *TINY, "--out", new)
    check_refused(
        r"test split of \S+new has one sentence .*: give --start and --end", "interpolate", new
    )
    succeeds("interpolate", new, "--start", "the cat sat", "--end", "the dog ran")


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("reconstruct", ["--text", " "]),
        ("interpolate", ["--start", "", "--end", "the cat"]),
        ("interpolate", ["--start", "the cat", "--end", ""]),
    ],
)
def test_sentence_without_a_word(check_refused, run, command, flags):
    check_refused(r"the sentence ' ?' is empty: give at least one word", command, run, *flags)
