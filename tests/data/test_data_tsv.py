# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Quotes in a TSV: around cells, as pandas writes them, or characters, as in GLUE."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_textvae.data import load_corpus, tsv
from pyro_textvae.errors import UserError

ROWS = [
    ["text", "mood"],
    ['say "a" now', "good"],
    ["plain words", "bad"],
    ["with\ta tab", "good"],
    ["two\nlines", "bad"],
    ['"all of it"', ""],
]
GLUE = 'text\tmood\n"quoted whole"\tgood\n"Yes ," he said\tbad\nplain\tgood\n'


def written(rows, **options):
    """Rows as pandas writes them, whose writer is this one."""
    file = io.StringIO()
    csv.writer(file, delimiter="\t", lineterminator="\n", **options).writerows(rows)
    return file.getvalue()


@pytest.fixture
def tsv_folder(tmp_path):
    def make(train):
        path = tmp_path / "tsv"
        path.mkdir(exist_ok=True)
        for split in ("train", "valid", "test"):
            text = train if split == "train" else "text\tmood\na b\tgood\n"
            (path / f"{split}.tsv").write_bytes(text.encode())
        return path

    return make


def texts(corpus):
    return [corpus.tokenizer.decode(row) for row in corpus.train]


@pytest.mark.parametrize("options", [{}, {"quoting": csv.QUOTE_ALL}])
@pytest.mark.parametrize("quotes", [None, "csv"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_pandas_writes_is_read_as_it_was(tsv_folder, options, quotes, end):
    folder = tsv_folder(written(ROWS, **options).replace("\n", end))
    corpus = load_corpus(folder, quotes=quotes, tokenizer="bpe", label_column="mood")
    assert texts(corpus) == [row[0] for row in ROWS[1:]]
    assert corpus.label_names == ("bad", "good")
    assert corpus.train.labels.tolist() == [1, 0, 1, 0, -1]
    said = [text for text in corpus.source_warnings if "train.tsv line" in text]
    assert len(said) == (quotes is None)
    if said:
        line = 1 if options else 2
        assert said[0].startswith(f"train.tsv line {line} has a cell in quotes, as pandas writes")


def test_a_quote_is_a_character_where_it_is_one(tsv_folder):
    for quotes in (None, "literal"):
        corpus = load_corpus(tsv_folder(GLUE), quotes=quotes)
        assert texts(corpus) == ['"quoted whole"', '"Yes ," he said', "plain"]
        assert corpus.source_warnings == ()
    corpus = load_corpus(tsv_folder(written(ROWS[:3])), quotes="literal")
    assert texts(corpus)[0] == '"say ""a"" now"'


@pytest.mark.parametrize(
    "train",
    [
        'text\tmood\n"quoted whole"\tgood\n',
        'text\tmood\n"say ""a"" now"\tgood\nsay "b"\tbad\n',
        'text\tmood\n"say ""a"" now"\tgood\n"open\tbad\n',
        'text\tmood\n"say ""a"" now" \tgood\n',
        "text\tmood\nno quote at all\tgood\n",
    ],
)
def test_what_is_not_all_in_quotes_stays_as_it_is(tsv_folder, train):
    corpus = load_corpus(tsv_folder(train))
    assert texts(corpus)[0] == train.splitlines()[1].split("\t")[0].strip()
    assert corpus.source_warnings == ()


def test_quotes_are_part_of_the_cache_key(tsv_folder):
    folder = tsv_folder(written(ROWS[:3]))
    by_default = load_corpus(folder).fingerprint
    assert load_corpus(folder, quotes="csv").fingerprint == by_default
    assert load_corpus(folder, quotes="literal").fingerprint != by_default


@pytest.mark.parametrize(
    ("train", "line"),
    [(GLUE, 3), (written(ROWS) + '"open\tgood\nto the end\tbad\n', 8)],
)
def test_quotes_that_are_not_around_cells_are_refused_with_the_line(tsv_folder, train, line):
    match = f"train.tsv line {line} has a quote that is not .* set quotes to literal"
    with pytest.raises(UserError, match=match):
        load_corpus(tsv_folder(train), quotes="csv")


def test_settings_that_would_do_nothing_are_refused(tsv_folder, folder):
    with pytest.raises(UserError, match="quotes='csv' applies to .tsv, and 'toy' has none"):
        load_corpus(folder, quotes="csv")
    with pytest.raises(UserError, match="quotes='csv' applies to a folder, a file"):
        load_corpus("grammar", quotes="csv")
    with pytest.raises(UserError, match="quotes='CSV' must be one of csv, literal"):
        load_corpus(tsv_folder(GLUE), quotes="CSV")


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('a"\t\n '), max_size=6), min_size=2, max_size=2),
        min_size=1,
        max_size=4,
    )
)
def test_rows_are_those_that_were_written(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "written.tsv"
    path.write_text(written(table, quoting=csv.QUOTE_ALL))
    assert [row.cells for row in tsv.rows(path, "csv")] == table
    assert tsv.first_quoted_line(path) == 1
