# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The nll by sentence length: groups, means, and errors against truth."""

import math

import pytest
import torch

from pyro_textvae.report.sections.length import length, length_bins


def test_groups_partition_the_sentences_by_length(sentences):
    tokens, nll = sentences["num_tokens"], -sentences["log_px"]
    bins = length_bins(tokens, nll, 4)
    assert 2 <= len(bins) <= 4
    assert sum(group.num_sentences for group in bins) == len(tokens)
    for before, after in zip(bins, bins[1:], strict=False):
        assert before.longest < after.shortest
    for group in bins:
        own = (tokens >= group.shortest) & (tokens <= group.longest)
        assert group.num_sentences == own.sum()
        assert group.nll == pytest.approx(nll[own].mean().item())
        assert group.mean_length == pytest.approx(tokens[own].double().mean().item())
        assert group.per_token == pytest.approx((nll[own].sum() / tokens[own].sum()).item())


def test_all_sentences_of_one_length_are_one_group():
    (group,) = length_bins(torch.full((50,), 7), torch.arange(50.0))
    assert (group.shortest, group.longest, group.num_sentences) == (7, 7, 50)
    # Sample variance of 0..49 is 50 * 51 / 12.
    assert group.nll_error == pytest.approx(math.sqrt(50 * 51 / 12 / 50))
    assert group.per_token_error == pytest.approx(group.nll_error / 7)


def test_a_group_for_each_length_where_there_is_room():
    bins = length_bins(torch.tensor([4, 2, 3]), torch.tensor([8.0, 2.0, 6.0]), 3)
    assert [(group.shortest, group.longest, group.nll) for group in bins] == [
        (2, 2, 2.0),
        (3, 3, 6.0),
        (4, 4, 8.0),
    ]


def test_nats_in_proportion_to_length_have_no_error_per_token():
    tokens = torch.arange(3, 23)
    (group,) = length_bins(tokens, 4.5 * tokens, 1)
    assert group.per_token == pytest.approx(4.5)
    assert group.per_token_error == pytest.approx(0.0, abs=1e-12)
    assert group.nll_error > 1


def test_error_per_token_is_that_of_fresh_sentences():
    """The spread of the ratio over 400 samples, whose own relative error is 1 / sqrt(800)."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(400):
        tokens = torch.randint(5, 15, (60,), generator=generator)
        noise = torch.randn(60, generator=generator, dtype=torch.float64)
        found += length_bins(tokens, 3.0 * tokens + 0.4 * tokens * noise, 1)
    spread = torch.tensor([group.per_token for group in found]).std().item()
    claimed = torch.tensor([group.per_token_error for group in found]).square().mean().sqrt().item()
    assert claimed == pytest.approx(spread, rel=4.5 / math.sqrt(800))


def test_single_sentence_has_no_error():
    (group,) = length_bins(torch.tensor([5]), torch.tensor([12.5]))
    assert (group.nll, group.per_token) == (12.5, 2.5)
    assert math.isnan(group.nll_error)
    assert math.isnan(group.per_token_error)


def test_page_shows_the_groups_in_numbers(record, sentences):
    picture, table = length([record()]).blocks
    (first, *_) = length_bins(sentences["num_tokens"], -sentences["log_px"])
    assert picture.name == "nll-by-length.png"
    assert len(table.rows) == len(length_bins(sentences["num_tokens"], -sentences["log_px"]))
    assert table.rows[0][2] == f"{first.nll:.3f} ± {first.nll_error:.3f}"
    assert table.rows[0][3] == f"{first.per_token:.3f} ± {first.per_token_error:.3f}"


def test_runs_share_a_picture_and_one_without_numbers_has_a_note(record):
    runs = [record(1, "a"), record(2, "b"), record(3, "c", evaluation=None)]
    picture, *tables, note = length(runs).blocks
    assert "a:" in picture.alt
    assert "b:" in picture.alt
    assert [table.caption for table in tables] == ["In numbers: 1: a", "In numbers: 2: b"]
    assert (note.text, note.tone) == ("c has not been evaluated.", "missing")
