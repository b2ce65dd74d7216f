# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""When the bounds of a sentence are close, and what is said where they are not."""

import json

import pytest
import torch

from pyro_textvae.evaluation.annealing.path import AnnealedEstimate
from pyro_textvae.evaluation.annealing.sandwich import Sandwich


def bound(values, errors, is_upper, acceptance=0.8):
    """An estimate of two chains a sentence, whose errors are about these."""
    shift = torch.tensor(errors).double()
    values = torch.tensor(values).double()
    log_weights = torch.stack([values + shift, values - shift])
    return AnnealedEstimate(log_weights, torch.full_like(values, acceptance), is_upper)


def sandwich(lower, upper, error, acceptance=0.8):
    return Sandwich.of(
        bound([lower], [error], False, acceptance), bound([upper], [error], True, acceptance)
    )


@pytest.mark.parametrize(
    ("lower", "upper", "error", "acceptance", "why"),
    [
        (-20.0, -19.95, 0.001, 0.8, ""),
        (-20.0, -20.05, 0.001, 0.8, ""),
        (-20.0, -19.95, 0.001, 0.1, ""),
        (-20.0, -19.7, 0.001, 0.8, "are 0.30 nats apart, their error being 0.00: annealing is too"),
        (-20.0, -19.7, 0.001, 0.1, "the chains hardly move, 0.10 of moves are accepted"),
        (-20.0, -19.7, 0.2, 0.8, "0.26 nats apart, and their error is 0.28: too few chains"),
        (-20.0, -20.3, 0.001, 0.8, "cross by 0.30 nats, their error being 0.00: the draws that"),
        (-20.0, -20.3, 0.2, 0.8, "cross by 0.34 nats, by chance: their error is 0.28"),
        (-20.0, float("nan"), 0.0, 0.8, "a bound is not finite"),
    ],
)
def test_bounds_are_closed_within_a_tenth_of_a_nat(lower, upper, error, acceptance, why):
    found = sandwich(lower, upper, error, acceptance)
    assert found.is_closed.item() == (not why)
    assert why in found.why_open(0)
    assert bool(found.why_open(0)) == bool(why)


def test_summary_names_the_sentences_that_are_not_closed():
    found = Sandwich.of(
        bound([-20.0, -30.0, -40.0], [0.01] * 3, False),
        bound([-19.95, -29.0, -40.0], [0.01] * 3, True),
    ).to_dict(torch.tensor([3, 11, 12]))
    assert found["num_closed"] == 2
    assert found["gap"] == pytest.approx(1.05 / 3, abs=1e-3)
    assert found["gap_standard_error"] == pytest.approx((6 * 1e-4) ** 0.5 / 3, rel=0.01)
    (row,) = found["not_closed"]
    assert row["index"] == 11
    assert row["upper"] - row["lower"] == pytest.approx(1.0, abs=1e-3)
    assert "1.00 nats apart" in row["why"]
    json.dumps(found)


def test_bounds_that_were_found_again_take_the_places_of_the_first():
    first = Sandwich.of(
        bound([-20.0, -30.0, -40.0], [0.1] * 3, False),
        bound([-19.0, -30.0, -39.0], [0.1] * 3, True),
    )
    again = Sandwich.of(
        bound([-19.5, -39.5], [0.01] * 2, False), bound([-19.5, -39.25], [0.01] * 2, True)
    )
    places = (~first.is_closed).nonzero().squeeze(1)
    assert places.tolist() == [0, 2]
    found = first.replaced(places, again)
    assert found.is_closed.tolist() == [True, True, False]
    assert torch.equal(found.upper[places], again.upper)
    assert found.lower[1] == first.lower[1]
    assert first.is_closed.tolist() == [False, True, False]
