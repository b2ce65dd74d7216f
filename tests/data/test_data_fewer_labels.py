# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A corpus with fewer of its labels, and with the labelled sentences alone."""

import numpy as np
import pytest

from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError

WORLD = {"source": "world:sentiment", "num_sentences": 400}


def test_a_share_stays_and_smaller_ones_are_parts_of_it():
    full = load_corpus(**WORLD)
    some = load_corpus(**WORLD, labelled_share=0.25)
    few = load_corpus(**WORLD, labelled_share=0.05)
    assert (some.train.labels >= 0).sum() == 80
    assert (few.train.labels >= 0).sum() == 16
    for kept in (some.train.labels, few.train.labels):
        assert np.array_equal(kept[kept >= 0], full.train.labels[kept >= 0])
    assert (some.train.labels[few.train.labels >= 0] >= 0).all()
    other = load_corpus(**WORLD, labelled_share=0.25, labelled_seed=1)
    assert not np.array_equal(other.train.labels, some.train.labels)
    assert some.summary()["train"]["labelled"] == 80


def test_all_else_stays():
    full = load_corpus(**WORLD)
    few = load_corpus(**WORLD, labelled_share=0.1, unlabelled="drop")
    assert few.fingerprint == full.fingerprint
    assert few.tokenizer == full.tokenizer
    for name in ("valid", "test"):
        assert np.array_equal(few.split(name).labels, full.split(name).labels)
        assert few.split(name).num_tokens == full.split(name).num_tokens
    assert few.settings["unlabelled"] == "drop"
    assert "labelled_share" not in full.settings


def test_labelled_sentences_alone():
    kept = load_corpus(**WORLD, labelled_share=0.1)
    alone = load_corpus(**WORLD, labelled_share=0.1, unlabelled="drop")
    rows = np.flatnonzero(kept.train.labels >= 0)
    assert len(alone.train) == len(rows) == 32
    for place, row in enumerate(rows):
        assert alone.train[place].equal(kept.train[int(row)])
    batch = alone.train.batch(np.array([3, 0]))
    expected = kept.train.batch(rows[[3, 0]])
    assert all(batch[name].equal(expected[name]) for name in ("tokens", "labels"))
    assert batch.indices.tolist() == [3, 0]
    lengths = [len(kept.train[int(row)]) for row in rows]
    assert alone.train.lengths.tolist() == lengths
    assert alone.train.num_tokens == sum(lengths) == alone.summary()["train"]["tokens"]
    batches = list(alone.batches("train", batch_size=8))
    assert sum(len(each["tokens"]) for each in batches) == 32
    assert all((each["labels"] >= 0).all() for each in batches)
    assert alone.raw_counts("train") is None
    assert alone.raw_counts("test") == kept.raw_counts("test")
    assert alone.num_in_other_splits("train") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labelled_share": 0}, "labelled_share=0 must be a number above 0 and at most 1"),
        ({"labelled_share": 1.5}, "labelled_share=1.5 must be"),
        ({"labelled_share": 0.001}, r"keeps 0 labels .* none of them 'negative'"),
        ({"labelled_seed": 3}, "labelled_seed=3 says which labels stay, and without"),
        ({"labelled_share": 0.1, "labelled_seed": -1}, "labelled_seed=-1 must be a whole number"),
        ({"unlabelled": "hide"}, "unlabelled='hide' must be 'keep' or 'drop'"),
        ({"source": "grammar", "labelled_share": 0.1}, "labelled_share=0.1 is of the labels"),
        ({"source": "grammar", "unlabelled": "drop"}, "unlabelled='drop' is of the labels"),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        load_corpus(**WORLD | options)
