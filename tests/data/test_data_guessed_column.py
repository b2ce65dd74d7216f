# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A first column that is taken for the text, and holds something else."""

import pytest

from pyro_textvae.data import load_corpus
from pyro_textvae.data.guessed_column import GuessedColumn

TEXT = ["a fine film", "dull and long", "so so", "not again", "well made", "no"]


def doubt(first, second=TEXT):
    column = GuessedColumn()
    for cells in zip(first, second, strict=True):
        column.add([*cells, ""])
    return column.doubt()


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (["1", "0", "1.5", "-2", "+3", ",5"], "numbers alone"),
        (["pos", "neg", "pos", "pos", "neg", "pos"], "few short values, as of a label"),
        (["True", "False"] * 3, "few short values, as of a label"),
        (["very good", "bad", "so so"] * 2, "few short values, as of a label"),
        ([""] * 6, "few short values, as of a label"),
        (["", "1", "", "0", "", "1"], "few short values, as of a label"),
        ([f"r{i:03}" for i in range(6)], "names with numbers alone, as of a row"),
    ],
)
def test_what_is_no_text(first, expected):
    assert doubt(first) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (TEXT, ["pos", "neg"] * 3),
        (TEXT, TEXT[::-1]),
        # Words with their counts, texts that repeat beside their labels, one label too many.
        (["word", "other", "third", "house", "tree", "x1"], ["12"] * 6),
        (["yes", "no"] * 3, ["1"] * 6),
        (["a", "b", "c", "d", "a", "b"], TEXT),
        # Text without spaces beside its translation.
        ([chr(0x4E00 + place) * 5 for place in range(6)], ["it is fine today"] * 6),
        (["a" * 31, "b"] * 3, ["c" * 60] * 6),
    ],
)
def test_what_may_be_text(first, second):
    assert doubt(first, second) is None


def test_nothing_is_said_of_no_rows():
    assert GuessedColumn().doubt() is None


def test_fifty_labels_are_labels_and_more_are_not():
    for count, expected in ((50, "few short values, as of a label"), (51, None)):
        labels = [chr(0x3B1 + label) for label in range(count)] * 3
        assert doubt(labels, ["some longer text"] * len(labels)) == expected


def test_the_warning_names_the_file_and_the_setting(tmp_path):
    for split in ("train", "valid", "test"):
        labelled = zip(["pos", "neg"] * 3, TEXT, strict=True)
        rows = "".join(f"{label}\t{text}\n" for label, text in labelled)
        (tmp_path / f"{split}.tsv").write_text(f"label\treview\n{rows}")
    corpus = load_corpus(tmp_path)
    assert len(corpus.source_warnings) == 3
    assert "train.tsv names no column" in corpus.source_warnings[0]
    assert "holds few short values, as of a label: set text_column" in corpus.source_warnings[0]
    assert load_corpus(tmp_path, text_column="review").source_warnings == ()
