# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What ``fit`` takes its texts from, and what it refuses."""

import numpy as np
import pytest

from pyro_textvae.data.given_texts import as_texts
from pyro_textvae.errors import UserError


class Table:
    """As pandas and polars have it: iterated over it yields the names of its columns."""

    def __init__(self, **columns):
        self.columns = list(columns)
        self._columns = columns

    def __iter__(self):
        return iter(self.columns)

    def __getitem__(self, name):
        return self._columns[name]


class Dataset:
    """As ``datasets`` has it: iterated over it yields its rows."""

    def __init__(self, **columns):
        self.column_names = list(columns)
        self._columns = columns

    def __iter__(self):
        rows = zip(*self._columns.values(), strict=True)
        return (dict(zip(self._columns, row, strict=True)) for row in rows)

    def __getitem__(self, name):
        return self._columns[name]


@pytest.mark.parametrize(
    "texts",
    [
        ("a b", "c d"),
        np.array(["a b", "c d"]),
        (text for text in ["a b", "c d"]),
        Table(number=[1, 2], text=["a b", "c d"]),
        Dataset(sentence=["a b", "c d"], label=[0, 1]),
    ],
    ids=["tuple", "array", "generator", "data frame", "dataset"],
)
def test_texts_of_every_kind(texts):
    assert as_texts(texts) == ["a b", "c d"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (Table(a=["x"], b=["y"]), "a table without a column text or sentence; it has a, b: give"),
        ({"train": ["a"], "test": ["b"]}, r"mapping of train, test: .*texts\['train'\], and the"),
        (["a", float("nan")], r"texts\[1\] is nan, not a string"),
        (np.zeros((2, 2)), r"texts\[0\] is array\(\[0., 0.\]\), not a string"),
        ("one text", "must be a list of strings, got 'one text'"),
    ],
)
def test_what_holds_no_texts(texts, message):
    with pytest.raises(UserError, match=message):
        as_texts(texts)


def test_generator_used_twice():
    texts = (text for text in ["a b"])
    as_texts(texts)
    with pytest.raises(UserError, match="an iterator that was used before is empty"):
        as_texts(texts)


@pytest.mark.parametrize("library", ["pandas", "polars", "datasets"])
def test_columns_of_the_libraries_themselves(library):
    module = pytest.importorskip(library)
    columns = {"text": ["a b", "c d"], "label": [0, 1]}
    table = (
        module.Dataset.from_dict(columns) if library == "datasets" else module.DataFrame(columns)
    )
    assert as_texts(table) == as_texts(table["text"]) == columns["text"]
