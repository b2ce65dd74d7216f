# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The Pareto-smoothed estimate and the jackknife's, on weights whose mean is known."""

import math

import pytest
import torch

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.halves import CrossedHalves
from pyro_textvae.evaluation.importance.jackknife import jackknife
from pyro_textvae.evaluation.importance.pareto import smoothed_log_sum, tail_size
from pyro_textvae.evaluation.importance.running_weights import RunningWeights, Scored, summarise
from tests.evaluation.replicates import z_score

SENTENCES = 8_000


def running(log_weights, most=None):
    weights = RunningWeights(len(log_weights), most or len(log_weights))
    zero = torch.zeros_like(log_weights)
    weights.add(Scored(log_weights, zero, zero, zero))
    return weights


def log_normal(draws, spread, seed=0, count=SENTENCES):
    """Log-weights of mean weight 1."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(draws, count, generator=generator, dtype=torch.float64)
    return spread * noise - spread**2 / 2


def pareto(draws, shape, seed=0, count=SENTENCES):
    """Log-weights of a Pareto distribution of tail index ``shape``, of mean weight 1."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(draws, count, generator=generator, dtype=torch.float64)
    return -shape * uniform.log() + math.log(1 - shape)


def bias_score(found, name):
    """Errors by which an estimate of log 1 is off, less what its mean weight says of its draws."""
    return z_score(found[name] - (found["log_px"].exp() - 1), 0.0)


@pytest.mark.parametrize("spread", [0.4, 0.7])
def test_jackknife_is_right_where_the_plain_estimate_is_too_low(spread):
    """Of 64 weights; the plain mean is off by half a variance over 64, a hundred errors."""
    found = summarise([running(log_normal(64, spread))])
    assert bias_score(found, "log_px") < -50
    assert abs(bias_score(found, "jackknife")) < 4.5


def test_jackknife_of_one_draw_a_part_is_that_of_the_formula():
    log_weights = log_normal(5, 1.0, count=3)
    without = torch.stack(
        [
            torch.cat([log_weights[:row], log_weights[row + 1 :]]).logsumexp(0) - math.log(4)
            for row in range(5)
        ]
    )
    expected = 5 * (log_weights.logsumexp(0) - math.log(5)) - 4 * without.mean(0)
    torch.testing.assert_close(jackknife(log_weights, torch.ones(5, 1).double()), expected)


def test_jackknife_of_unequal_parts_of_equal_weights_is_their_mean():
    sizes = torch.tensor([[1.0], [3.0], [2.0]]).double()
    torch.testing.assert_close(jackknife(sizes.log() - 2.0, sizes), torch.tensor([-2.0]).double())


def test_jackknife_leaves_blocks_out_where_draws_of_a_block_depend_on_one_another():
    """Eight blocks of sixteen equal weights: as eight draws of one each."""
    blocks = log_normal(8, 0.2)
    found = summarise([running(blocks.repeat_interleave(16, 0))], independent=False)
    torch.testing.assert_close(found["jackknife"], jackknife(blocks, torch.ones(8, 1).double()))
    assert bias_score(found, "log_px") < -50
    assert abs(bias_score(found, "jackknife")) < 4.5


def test_part_that_has_all_the_weight_leaves_a_number():
    found = jackknife(torch.tensor([[0.0], [-800.0]]).double(), torch.ones(2, 1).double())
    assert found.isfinite().all()
    nothing = torch.full((100, 1), -math.inf, dtype=torch.float64)
    summary = summarise([running(nothing)])
    assert summary["jackknife"].item() == summary["smoothed"].item() == -math.inf


@pytest.mark.parametrize("shape", [0.6, 0.8])
def test_smoothed_estimate_of_heavy_tails_errs_less(shape):
    """Pareto weights: the truth is known, and a mean of 200 misses it by its largest weights."""
    found = summarise([running(pareto(200, shape))])
    plain, smoothed = (found[name].square().mean().sqrt().item() for name in ("log_px", "smoothed"))
    assert smoothed < 0.9 * plain


def test_smoothed_estimate_of_light_tails_is_near_the_plain_one():
    found = summarise([running(log_normal(200, 0.5))])
    distance = (found["smoothed"] - found["log_px"]).square().mean().sqrt()
    assert distance < 0.2 * found["standard_error"].square().mean().sqrt()
    assert found["smoothed"].mean().abs() < 0.005


def test_smoothed_weights_are_the_quantiles_of_the_fit():
    """By the published algorithm, one sentence and one weight after the other."""
    log_weights = pareto(200, 0.5, count=1)
    size = tail_size(200)
    tail = log_weights.squeeze(1).exp().sort().values[-size - 1 :].tolist()
    cut, excess = tail[0], [weight - tail[0] for weight in tail[1:]]
    grid = 30 + int(math.sqrt(size))
    quartile = excess[int(size / 4 + 0.5) - 1]
    thetas = [
        1 / excess[-1] + (1 - math.sqrt(grid / (j - 0.5))) / 3 / quartile
        for j in range(1, grid + 1)
    ]

    def shape_of(theta):
        return sum(math.log1p(-theta * value) for value in excess) / size

    profile = [
        size * (math.log(-theta / shape_of(theta)) - shape_of(theta) - 1) for theta in thetas
    ]
    shares = [1 / sum(math.exp(other - one) for other in profile) for one in profile]
    theta = sum(share * theta for share, theta in zip(shares, thetas, strict=True))
    shape = shape_of(theta)
    scale = -shape / theta
    shape = (shape * size + 5) / (size + 10)
    rest = log_weights.exp().sum().item() - sum(tail[1:])
    smoothed = [
        min(cut + scale * ((1 - (j - 0.5) / size) ** -shape - 1) / shape, tail[-1])
        for j in range(1, size + 1)
    ]
    found = smoothed_log_sum(log_weights.topk(size + 1, 0).values, log_weights.logsumexp(0))
    assert found.item() == pytest.approx(math.log(rest + sum(smoothed)), abs=1e-9)


def test_weights_that_are_all_equal_stay_what_they_are():
    equal = torch.full((21, 2), -3.0, dtype=torch.float64)
    log_sum = torch.full((2,), -3.0 + math.log(100)).double()
    assert torch.equal(smoothed_log_sum(equal, log_sum), log_sum)


def test_halves_of_different_stages_have_the_jackknife_of_their_mean():
    """Of 20 and of 30 draws, and so with a correction of their own each."""
    halves = CrossedHalves(SENTENCES)
    for stage, draws in enumerate((20, 30)):
        rows = halves.unsettled
        parts = [
            running(log_normal(draws, 0.8 - 0.5 * stage, 2 * stage + half, len(rows)), 2 * draws)
            for half in (0, 1)
        ]
        halves.add(rows, tuple(parts), torch.full_like(rows, draws))
    columns = halves.columns()
    mixed = halves._last[0] != halves._last[1]
    assert mixed.double().mean() > 0.05
    # To first order both are the plain estimate and half of its variance.
    added = (columns["jackknife"] - columns["log_px"])[mixed]
    expected = (0.5 * columns["standard_error"].square())[mixed]
    assert added.mean().item() == pytest.approx(expected.mean().item(), rel=0.2)
    freedom = columns["error_freedom"][mixed]
    assert ((freedom >= 18) & (freedom <= 48)).all()


def test_all_three_stand_side_by_side(pair, tokens):
    found = log_likelihood(*pair, [{"tokens": tokens}], 200)
    assert found.nll == -found.log_px.mean().item()
    assert found.nll_smoothed == -found.smoothed.mean().item()
    assert found.nll_jackknife == -found.jackknife.mean().item()
    assert len({found.nll, found.nll_smoothed, found.nll_jackknife}) == 3
    assert found.nll_smoothed == pytest.approx(found.nll, abs=3 * found.nll_standard_error)
    few = log_likelihood(*pair, [{"tokens": tokens}], 99)
    assert math.isnan(few.nll_smoothed)
    assert math.isfinite(few.nll_jackknife)
