# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest

from pyro_textvae.infer import (
    ConstantSchedule,
    CyclicalSchedule,
    LinearSchedule,
    LogisticSchedule,
    ZeroThenLinearSchedule,
)


def test_constant():
    assert [ConstantSchedule(0.3)(step) for step in (0, 5, 10**6)] == [0.3, 0.3, 0.3]


def test_linear_reaches_its_end_and_stays():
    schedule = LinearSchedule(10, start=0.1, end=0.9)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(5) == pytest.approx(0.5)
    assert schedule(10) == schedule(11) == pytest.approx(0.9)


def test_logistic_is_half_way_in_the_middle():
    schedule = LogisticSchedule(100, end=0.8)
    assert schedule(50) == pytest.approx(0.4)
    assert schedule(0) == pytest.approx(0.008)
    assert schedule(100) == pytest.approx(0.8 * 0.99)
    assert schedule(10**9) == pytest.approx(0.8)


def test_cyclical_starts_again_and_ends_at_its_end():
    schedule = CyclicalSchedule(80, num_cycles=4, start=0.0, end=1.0, ramp=0.5)
    assert [schedule(step) for step in (0, 5, 10, 19, 20, 25)] == pytest.approx(
        [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    )
    assert schedule(80) == schedule(1000) == 1.0


def test_zero_then_linear_waits_then_climbs():
    schedule = ZeroThenLinearSchedule(40, num_zero_steps=30, end=0.8)
    assert [schedule(step) for step in (0, 29, 30)] == [0.0, 0.0, 0.0]
    assert schedule(35) == pytest.approx(0.4)
    assert schedule(40) == schedule(10**6) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantSchedule(-1.0), "not negative, got -1.0"),
        (lambda: LinearSchedule(0), "steps must be at least 1, got 0"),
        (lambda: LinearSchedule(5, start=float("nan")), "start of the KL weight must be finite"),
        (lambda: CyclicalSchedule(5, num_cycles=0), "cycles must be at least 1, got 0"),
        (lambda: ZeroThenLinearSchedule(5, 5), r"num_zero_steps must lie in \[0, num_steps = 5\)"),
        (lambda: CyclicalSchedule(5, ramp=0.0), r"ramp must lie in \(0, 1\], got 0.0"),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
