# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Two models whose estimates say of themselves how right they are."""

import math
from types import SimpleNamespace

import pytest
import torch

from pyro_textvae.evaluation import compare

COUNT = 300
TRUTH = -40 + 5 * torch.randn(COUNT, generator=torch.Generator().manual_seed(0)).double()


def noise(seed, scale):
    return scale * torch.randn(COUNT, generator=torch.Generator().manual_seed(seed)).double()


def scored(log_px, error=0.02, **evidence):
    return SimpleNamespace(
        log_px=log_px,
        standard_error=torch.full_like(log_px, error),
        num_tokens_per_sentence=torch.full_like(log_px, 9),
        **evidence,
    )


def refit_of_a_prior_that_changes_nothing():
    """Both have the same log p(x); the guide of a is 0.9 nats worse than that of b.

    A tenth of the sentences of a is not settled, and too low by 0.9 nats; the others are too low by
    0.01, and it says so of both.
    """
    unsettled = torch.arange(COUNT) % 10 == 0
    shortfall = torch.where(unsettled, 0.9, 0.01).double()
    a = scored(
        TRUTH - shortfall + noise(1, 0.02),
        settled=~unsettled,
        bias=shortfall * 1.1,
        log_px_by_guide=TRUTH - 0.9 + noise(2, 0.1),
    )
    b = scored(
        TRUTH + noise(3, 0.02),
        settled=torch.ones(COUNT, dtype=torch.bool),
        bias=torch.zeros(COUNT).double(),
        log_px_by_guide=TRUTH + noise(4, 0.1),
    )
    return a, b


def test_a_refit_that_changes_nothing_is_told_apart_by_nobody():
    a, b = refit_of_a_prior_that_changes_nothing()
    by_guide = compare(*(scored(each.log_px_by_guide, 0.1) for each in (a, b)))
    assert by_guide.sign == 1
    assert by_guide.difference == pytest.approx(0.9, abs=0.05)
    # Neither all estimates nor the settled ones alone, but with what they say they lack.
    assert compare(scored(a.log_px), scored(b.log_px)).sign == 1
    settled_alone = compare(
        scored(a.log_px, settled=a.settled), scored(b.log_px, settled=b.settled)
    )
    assert settled_alone.sign == 1
    found = compare(a, b)
    assert found.sign == 0
    assert abs(found.difference) < 0.02
    assert found.num_settled == 270
    assert found.guides_rank_otherwise
    counts, guides = found.remarks("old", "new")
    assert counts.startswith("270 of 300 sentences are settled in both; the nll of old may be")
    assert guides.startswith("by the guides' weights the ranking is another: +0.89")


def test_each_bias_moves_its_own_end_of_the_interval():
    a, b = scored(TRUTH + noise(1, 0.3)), scored(TRUTH + noise(2, 0.3))
    low, high = compare(a, b).interval
    a.bias, b.bias = torch.full((COUNT,), 0.25).double(), torch.full((COUNT,), 0.5).double()
    found = compare(a, b)
    assert found.interval == (low - 0.25, high + 0.5)
    mirrored = compare(b, a)
    assert mirrored.interval == pytest.approx((-high - 0.5, -low + 0.25))


def test_what_is_not_settled_in_both_is_not_compared():
    rows = torch.arange(COUNT)
    in_a, in_b = rows % 7 != 0, rows % 5 != 0
    wild = noise(5, 10.0)
    a = scored(torch.where(in_a, TRUTH + 1, TRUTH + wild), settled=in_a)
    b = scored(torch.where(in_b, TRUTH, TRUTH - wild), settled=in_b)
    found = compare(a, b)
    expected = compare(scored(TRUTH[in_a & in_b] + 1), scored(TRUTH[in_a & in_b]))
    assert torch.equal(found.per_sentence, expected.per_sentence)
    assert found.interval == expected.interval
    assert found.monte_carlo_error == expected.monte_carlo_error
    assert (found.num_settled, found.num_sentences) == (int((in_a & in_b).sum()), COUNT)
    assert len(found.remarks()) == 1


@pytest.mark.parametrize(
    ("settled", "remark"), [(199, "that is under two thirds"), (1, "that is too few: all")]
)
def test_few_settled_sentences_are_said(settled, remark):
    a = scored(TRUTH, settled=torch.arange(COUNT) < settled)
    found = compare(a, scored(TRUTH + noise(1, 0.1)))
    assert found.num_settled == settled
    assert found.remarks()[1].startswith(remark)
    assert len(found.per_sentence) == (settled if settled > 1 else COUNT)


def test_estimates_that_say_nothing_of_themselves_are_compared_as_they_are():
    pair = scored(TRUTH + noise(1, 0.3)), scored(TRUTH + noise(2, 0.3))
    found = compare(*pair)
    assert found.num_settled is None
    assert found.remarks() == []
    explicit = [scored(each.log_px, settled=None, bias=None, log_px_by_guide=None) for each in pair]
    assert compare(*explicit).interval == found.interval


@pytest.mark.parametrize(("shift", "otherwise"), [(0.0, False), (0.5, False), (-0.5, True)])
def test_guides_that_say_the_same_or_nothing_are_not_mentioned(shift, otherwise):
    """Settled estimates say that b is better by 0.5; the guides are scored on some sentences."""
    some = torch.where(torch.arange(COUNT) % 3 == 0, 0.0, math.nan).double()
    a = scored(TRUTH, log_px_by_guide=TRUTH + some + noise(3, 3.0 if shift == 0 else 0.1))
    b = scored(TRUTH + 0.5, log_px_by_guide=TRUTH + shift + some)
    found = compare(a, b)
    assert found.sign == 1
    if shift:
        assert found.guide_difference == pytest.approx(shift, abs=0.05)
        assert found.guides_rank_otherwise is otherwise
    # One model without them leaves nothing to rank.
    b.log_px_by_guide = None
    assert compare(a, b).guide_difference is None


@pytest.mark.parametrize("bias", [-0.1, math.nan, math.inf])
def test_a_bias_that_is_none_is_named(bias):
    biases = torch.zeros(COUNT).double()
    biases[4] = bias
    with pytest.raises(ValueError, match=rf"sentence 4 has a bias of {bias} in b, and it must be"):
        compare(scored(TRUTH), scored(TRUTH, bias=biases))
