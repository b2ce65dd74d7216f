# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.evaluation.importance.pareto import SMALLEST_SAMPLE, pareto_khat, tail_size
from pyro_textvae.evaluation.importance.running_weights import (
    RunningWeights,
    Scored,
    boundaries,
    curve_sizes,
    num_blocks,
    num_groups,
    summarise,
)


def scored(log_weights, log_guide_ratio=0.0, log_prior=-1.0):
    """Draws with these log-weights, from a proposal that has this log-ratio to the guide."""
    zero = torch.zeros_like(log_weights)
    prior = zero + log_prior
    return Scored(log_weights - prior, prior, zero, zero + log_guide_ratio)


def weights_of(log_weights, piece=None, most_samples=None):
    total = len(log_weights)
    running = RunningWeights(total, most_samples or total)
    for part in log_weights.split(piece or total):
        running.add(scored(part))
    return running


@pytest.fixture
def log_weights():
    generator = torch.Generator().manual_seed(1)
    return 1.5 * torch.randn(1000, 3, generator=generator, dtype=torch.float64) - 40.0


def test_summary_is_that_of_all_weights_at_once(log_weights):
    found = summarise([weights_of(log_weights)])
    shares = log_weights.softmax(0)
    squares = shares.square().sum(0)
    torch.testing.assert_close(found["log_px"], log_weights.logsumexp(0) - math.log(1000))
    torch.testing.assert_close(found["ess"], 1 / squares)
    error = ((squares - 1e-3) * 1000 / 999).sqrt()
    torch.testing.assert_close(found["standard_error"], error)
    torch.testing.assert_close(found["largest_weight"], shares.amax(0))
    tail = log_weights.sort(0).values[-(tail_size(1000) + 1) :]
    torch.testing.assert_close(found["khat"], pareto_khat(tail))


@pytest.mark.parametrize("piece", [1, 7, 333])
def test_pieces_of_any_size_give_the_same(log_weights, piece):
    whole, pieces = (
        summarise([weights_of(log_weights)]),
        summarise([weights_of(log_weights, piece)]),
    )
    for name, value in whole.items():
        torch.testing.assert_close(pieces[name], value, rtol=1e-10, atol=1e-10)


def test_rounds_together_are_all_their_draws(log_weights):
    rounds = [weights_of(part, most_samples=1000) for part in log_weights.split(500)]
    together, whole = summarise(rounds), summarise([weights_of(log_weights)])
    for name, value in whole.items():
        if "curve" not in name:
            torch.testing.assert_close(together[name], value, rtol=1e-10, atol=1e-10)


def test_rows_are_those_of_the_sentences_chosen(log_weights):
    chosen = torch.tensor([2, 0])
    rows = summarise([weights_of(log_weights).rows(chosen)])
    alone = summarise([weights_of(log_weights[:, chosen])])
    for name, value in alone.items():
        torch.testing.assert_close(rows[name], value, rtol=0, atol=0)


def test_doubling_is_the_growth_from_halves_to_all(log_weights):
    found = summarise([weights_of(log_weights)])

    def mean_of_parts(count):
        parts = log_weights.split(1000 // count)
        return torch.stack([part.logsumexp(0) - math.log(len(part)) for part in parts]).mean(0)

    torch.testing.assert_close(found["doubling"], mean_of_parts(1) - mean_of_parts(2))
    torch.testing.assert_close(found["half_doubling"], mean_of_parts(2) - mean_of_parts(4))
    assert (found["doubling"] >= 0).all()
    torch.testing.assert_close(found["curve"][:, -1], found["log_px"])
    torch.testing.assert_close(found["curve"][:, -2], mean_of_parts(2))
    assert (found["curve"].diff() >= -1e-12).all()  # Jensen, draw by draw


def test_curve_ends_at_all_draws_and_halves_backwards():
    assert curve_sizes(1000) == [15.625, 31.25, 62.5, 125.0, 250.0, 500.0, 1000.0]
    assert curve_sizes(1) == [1.0]
    assert curve_sizes(3) == [1.5, 3.0]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 100, 1000, 4097])
def test_draws_are_cut_into_equal_parts_by_their_number_alone(count):
    for parts in (num_groups(count), num_blocks(count), num_blocks(count, independent=False)):
        cuts = boundaries(count, parts)
        sizes = [high - low for low, high in zip(cuts, cuts[1:], strict=False)]
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1
        assert math.log2(parts).is_integer()
    assert max(boundaries(count, num_blocks(count))[1:2]) <= 512


def test_impossible_draws_weigh_nothing_and_an_impossible_sentence_has_no_error(log_weights):
    log_weights[3, 0] = -math.inf
    log_weights[:, 1] = -math.inf
    found = summarise([weights_of(log_weights)])
    expected = log_weights[:, 0].logsumexp(0) - math.log(1000)
    torch.testing.assert_close(found["log_px"][0], expected)
    assert found["log_px"][1] == -math.inf
    for name in ("standard_error", "ess", "khat", "largest_weight"):
        assert found[name][[0, 2]].isfinite().all()
        assert found[name][1].isnan()


def test_infinitely_light_tail_still_has_a_shape():
    log_weights = torch.full((200, 1), -math.inf, dtype=torch.float64)
    log_weights[:5, 0] = torch.arange(5.0).double()
    found = summarise([weights_of(log_weights)])
    assert found["khat"].isfinite().all()
    assert found["ess"].item() < 5


def test_shift_of_all_weights_shifts_the_estimate_and_nothing_else(log_weights):
    plain, shifted = (summarise([weights_of(log_weights + by)]) for by in (0.0, 1e4))
    torch.testing.assert_close(shifted["log_px"], plain["log_px"] + 1e4, rtol=0, atol=1e-8)
    for name in ("standard_error", "ess", "khat", "doubling"):
        torch.testing.assert_close(shifted[name], plain[name], rtol=1e-6, atol=1e-8)


def test_constant_weights_have_no_error_and_no_tail():
    found = summarise([weights_of(torch.full((500, 2), -3.0, dtype=torch.float64))])
    assert (found["khat"] == -math.inf).all()
    assert found["standard_error"].abs().max() < 1e-7
    torch.testing.assert_close(found["ess"], torch.full((2,), 500.0).double())


def test_rounding_of_float32_is_not_taken_for_a_tail():
    noise = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    running = RunningWeights(500, 500)
    running.add(scored((-200.0 + 1e-5 * noise).float()))
    assert summarise([running])["khat"].item() == -math.inf


def test_few_draws_have_no_khat_and_one_draw_no_error(log_weights):
    assert summarise([weights_of(log_weights[:99])])["khat"].isnan().all()
    single = summarise([weights_of(log_weights[:1])])
    assert single["standard_error"].isnan().all()
    assert single["doubling"].isnan().all()
    torch.testing.assert_close(single["log_px"], log_weights[0])


def test_more_draws_than_announced_are_refused(log_weights):
    with pytest.raises(ValueError, match="1000 draws were added, and 999 were announced"):
        RunningWeights(999, 999).add(scored(log_weights))


def test_means_under_the_guide_weight_each_draw_by_its_ratio():
    ratio = torch.tensor([[0.5], [1.5], [0.0]]).double()
    likelihood = torch.tensor([[-2.0], [-4.0], [-math.inf]]).double()
    prior = torch.tensor([[-1.0], [-3.0], [-1.0]]).double()
    draws = Scored(likelihood, prior, torch.zeros(3, 1).double(), ratio.log())
    running = RunningWeights(3, 3)
    running.add(draws)
    found = summarise([running])
    assert found["reconstruction"].item() == pytest.approx((0.5 * -2 + 1.5 * -4) / 2)
    divergence = (0.5 * (math.log(0.5) + 1) + 1.5 * (math.log(1.5) + 3)) / 2
    assert found["sampled_kl"].item() == pytest.approx(divergence)


def test_error_between_blocks_sees_draws_that_depend_on_one_another():
    """Within a block all weights are equal, so only the 8 blocks tell of the error."""
    generator = torch.Generator().manual_seed(2)
    blocks = 0.3 * torch.randn(8, 400, generator=generator).double()
    log_weights = blocks.repeat_interleave(16, 0)
    between = summarise([weights_of(log_weights)], independent=False)["standard_error"]
    naive = summarise([weights_of(log_weights)])["standard_error"]
    spread = summarise([weights_of(log_weights)])["log_px"].std()
    # Over 400 sentences the mean of an error of 7 degrees of freedom is known to a few percent.
    assert between.square().mean().sqrt() == pytest.approx(spread.item(), rel=0.2)
    assert (naive * 4).mean() == pytest.approx(between.mean().item(), rel=0.1)


def test_fewest_draws_of_which_a_tail_is_judged(log_weights):
    assert summarise([weights_of(log_weights[:SMALLEST_SAMPLE])])["khat"].isfinite().all()
    assert summarise([weights_of(log_weights[: SMALLEST_SAMPLE - 1])])["khat"].isnan().all()
