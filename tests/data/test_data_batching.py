# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Batches: each sentence once, little padding, the same for the same (seed, epoch) and no other."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyro_textvae.data import load_corpus, pad, plan_batches
from pyro_textvae.errors import UserError

LENGTHS = np.random.default_rng(0).geometric(0.08, size=3000) + 1


def same(left, right):
    return len(left) == len(right) and all(map(np.array_equal, left, right))


def members(plan):
    return {frozenset(batch.tolist()) for batch in plan}


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=80).map(np.array),
    st.one_of(
        st.builds(dict, batch_size=st.integers(1, 90)),
        st.builds(dict, max_tokens=st.integers(1, 300)),
    ),
    st.booleans(),
    st.integers(0, 5),
)
def test_each_sentence_exactly_once_within_the_size(lengths, size, shuffle, epoch):
    plan = plan_batches(lengths, **size, shuffle=shuffle, epoch=epoch)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
    if "batch_size" in size:
        assert max(map(len, plan)) <= size["batch_size"]
        assert len(plan) == -(-len(lengths) // size["batch_size"])
    else:
        for batch in plan:
            assert len(batch) == 1 or len(batch) * lengths[batch].max() <= size["max_tokens"]


def test_drawn_from_seed_and_epoch_alone():
    first = plan_batches(LENGTHS, 32, seed=1, epoch=2)
    assert same(first, plan_batches(LENGTHS, 32, seed=1, epoch=2))
    for seed, epoch in ((1, 3), (2, 2), (2, 1)):
        other = plan_batches(LENGTHS, 32, seed=seed, epoch=epoch)
        assert len(members(first) & members(other)) < 0.05 * len(first)


def test_global_random_state_is_neither_used_nor_moved():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    plan_batches(LENGTHS, 32)
    assert torch.equal(before, torch.get_rng_state())


def test_order_of_batches_is_not_by_length():
    means = [LENGTHS[batch].mean() for batch in plan_batches(LENGTHS, 32)]
    # The correlation of 94 shuffled batches with their position has standard deviation 0.10.
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.45


@pytest.mark.parametrize("size", [{"batch_size": 32}, {"max_tokens": 1000}])
def test_padding_is_small(size):
    plan = plan_batches(LENGTHS, **size)
    cells = sum(len(batch) * LENGTHS[batch].max() for batch in plan)
    assert 1 - LENGTHS.sum() / cells < 0.12
    unsorted = sum(32 * LENGTHS[start : start + 32].max() for start in range(0, len(LENGTHS), 32))
    assert 1 - LENGTHS.sum() / unsorted > 0.5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 32, "seed": 1, "epoch": 2}, "617f950081c96bd4"),
        ({"max_tokens": 1000, "seed": 1, "epoch": 2}, "1ca3d3f3cd25c9de"),
        ({"batch_size": 32, "shuffle": False}, "aed60c3db07e85b1"),
        ({"max_tokens": 500, "shuffle": False}, "1f7f626d5c6debee"),
    ],
)
def test_plan_of_text_alone_is_what_it_always_was(options, expected):
    """A run from before goes on with the batches that it began with."""
    for lengths in (LENGTHS, LENGTHS[:, None]):
        digest = hashlib.sha256()
        for batch in plan_batches(lengths, **options):
            digest.update(len(batch).to_bytes(4, "big") + batch.astype("<i8").tobytes())
        assert digest.hexdigest()[:16] == expected


def test_token_budget_is_used():
    plan = plan_batches(LENGTHS, max_tokens=1000)
    cells = [len(batch) * LENGTHS[batch].max() for batch in plan]
    assert max(cells) <= 1000
    assert np.median(cells) > 900


def test_without_shuffle_by_length_then_index():
    plan = plan_batches(np.array([3, 1, 2, 1, 3]), 2, shuffle=False, seed=9, epoch=9)
    assert [batch.tolist() for batch in plan] == [[1, 3], [2, 0], [4]]


def test_default_batch_size_is_32():
    assert {len(batch) for batch in plan_batches(LENGTHS[:64])} == {32}


def test_batches_hold_the_rows_they_name(one_file):
    corpus = load_corpus(one_file)
    seen = []
    for batch in corpus.batches("train", 16, seed=3, epoch=1):
        assert list(batch) == ["tokens"]
        assert batch["tokens"].dtype == torch.int64
        for row, index in zip(batch["tokens"], batch.indices.tolist(), strict=True):
            expected = corpus.train[index]
            assert row[: len(expected)].tolist() == expected.tolist()
            assert not row[len(expected) :].any()
            seen.append(index)
    assert sorted(seen) == list(range(len(corpus.train)))
    assert corpus.num_batches("train", 16) == -(-len(corpus.train) // 16)
    assert corpus.num_batches("train", max_tokens=60) == len(
        list(corpus.batches("train", max_tokens=60))
    )


def test_resuming_in_mid_epoch_gives_the_rest(one_file):
    corpus = load_corpus(one_file)
    whole = list(corpus.batches("train", 16, seed=3, epoch=4))
    plan = corpus.plan("train", 16, seed=3, epoch=4)
    for batch, indices in zip(whole[5:], plan[5:], strict=True):
        assert torch.equal(corpus.train.batch(indices)["tokens"], batch["tokens"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 0}, "batch_size=0 must be"),
        ({"batch_size": 2.5}, "batch_size=2.5 must be"),
        ({"max_tokens": -1}, "max_tokens=-1 must be"),
        ({"batch_size": 8, "max_tokens": 100}, "exclude each other"),
        ({"seed": -1}, "seed=-1 must be"),
        ({"epoch": -1}, "epoch=-1 must be"),
    ],
)
def test_bad_sizes_are_refused_before_the_first_batch(one_file, options, match):
    with pytest.raises(UserError, match=match):
        load_corpus(one_file).batches("train", **options)


def test_pad():
    assert pad([[4, 2], torch.tensor([5, 6, 2])]).tolist() == [[4, 2, 0], [5, 6, 2]]
    assert pad([[2]]).dtype == torch.int64
    with pytest.raises(UserError, match="at least one row"):
        pad([])
