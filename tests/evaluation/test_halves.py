# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Halves of the draws that judge one another, on weights whose mean is 1."""

import math

import pytest
import torch

from pyro_textvae.evaluation.importance.halves import CrossedHalves
from pyro_textvae.evaluation.importance.running_weights import RunningWeights, Scored, summarise
from pyro_textvae.evaluation.importance.settled import LARGEST_ERROR
from tests.evaluation.replicates import z_score

SENTENCES = 20_000


def weights_of(spread, draws, seed, count=SENTENCES, scale=1.0):
    """Log-normal weights of mean ``scale``: the wider, the more often the mean is missed."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(draws, count, generator=generator, dtype=torch.float64)
    weights = RunningWeights(draws, 2 * draws)
    zero = torch.zeros_like(noise)
    weights.add(Scored(spread * noise - spread**2 / 2 + math.log(scale), zero, zero, zero))
    return weights


def run(halves, spreads=(0.8, 0.3), draws=(20, 30)):
    """Two stages, the second with the better draws."""
    for stage, (spread, count) in enumerate(zip(spreads, draws, strict=True)):
        rows = halves.unsettled
        parts = [weights_of(spread, count, 2 * stage + half, len(rows)) for half in (0, 1)]
        halves.add(rows, tuple(parts), torch.full_like(rows, count))
    return halves.columns()


class Uncrossed(CrossedHalves):
    """Each half judged by itself: what the estimate would be if the rule were inside it."""

    def add(self, rows, halves, evaluations, *, independent=True):
        super().add(rows, halves, evaluations, independent=independent)
        self._open[:, rows] = self._open[:, rows].flip(0)


def test_mean_is_the_probability_whatever_the_rule_says():
    """Both ends of the rule are met: about a third of the sentences goes on."""
    halves = CrossedHalves(SENTENCES)
    estimates = run(halves)["log_px"].exp()
    assert abs(z_score(estimates, 1.0)) < 4.5
    first = halves.cost == 20
    assert 0.1 < first.double().mean() < 0.9


def test_a_rule_that_judges_its_own_estimate_would_show_as_a_bias():
    estimates = run(Uncrossed(SENTENCES))["log_px"].exp()
    assert z_score(estimates, 1.0) < -8


def test_a_half_is_kept_where_the_other_is_enough_and_replaced_where_it_is_not():
    """Of four sentences the halves are good and good, good and bad, bad and good, bad and bad."""
    good, bad = 0.01, 5.0
    spreads = torch.tensor([[good, good, bad, bad], [good, bad, good, bad]])
    halves = CrossedHalves(4)
    noise = torch.linspace(-1, 1, 40, dtype=torch.float64).unsqueeze(1)
    parts = []
    for half in (0, 1):
        weights = RunningWeights(40, 80)
        log_weights = spreads[half] * noise
        zero = torch.zeros_like(log_weights)
        weights.add(Scored(log_weights, zero, zero, zero))
        parts.append(weights)
    halves.add(torch.arange(4), tuple(parts), torch.full((4,), 7))
    assert halves.unsettled.tolist() == [1, 2, 3]
    second = [weights_of(0.01, 30, half, 3, scale=5.0) for half in (0, 1)]
    halves.add(halves.unsettled, tuple(second), torch.full((3,), 9))
    alone = [summarise([part])["log_px"] for part in parts]
    new = [summarise([part])["log_px"] for part in second]
    columns = halves.columns()

    def mean(one, other):
        return torch.logaddexp(one, other) - math.log(2)

    # A bad second half replaces the first, and is kept itself as the first was good.
    expected = [
        mean(alone[0][0], alone[1][0]),
        mean(new[0][0], alone[1][1]),
        mean(alone[0][2], new[1][1]),
        mean(new[0][2], new[1][2]),
    ]
    torch.testing.assert_close(columns["log_px"], torch.stack(expected))
    assert halves.cost.tolist() == [7, 16, 16, 16]
    assert columns["half_difference"][1] == new[0][0] - alone[1][1]


def test_error_of_halves_of_different_stages_is_that_of_their_mean():
    """Against the spread over sentences, of which a mixed pair is one in five or more."""
    halves = CrossedHalves(SENTENCES)
    columns = run(halves)
    mixed = halves._last[0] != halves._last[1]
    assert mixed.double().mean() > 0.1
    estimates = columns["log_px"][mixed].exp()
    said = (estimates * columns["standard_error"][mixed]).square().mean()
    # Which are mixed was decided by these very errors: they are not drawn at random.
    assert 0.6 < (estimates - estimates.mean()).square().mean() / said < 1.6


@pytest.mark.parametrize("draws", [20, 200])
def test_few_draws_have_no_tail_and_are_judged_by_their_error(draws):
    halves = CrossedHalves(2000)
    spread = 0.4 * LARGEST_ERROR * math.sqrt(draws)
    parts = tuple(weights_of(spread, draws, half, 2000) for half in (0, 1))
    halves.add(torch.arange(2000), parts, torch.ones(2000, dtype=torch.long))
    assert len(halves.unsettled) < 1000
