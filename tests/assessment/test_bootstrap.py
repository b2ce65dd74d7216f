# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from pyro_textvae.assessment.bootstrap import Bootstrap
from pyro_textvae.assessment.number import SHARE, Number

BOOTSTRAP = Bootstrap(2000, seed=0)


def test_interval_of_a_mean_is_that_of_the_normal():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    value, (low, high) = BOOTSTRAP.mean(values)
    half = 1.96 * values.std() / 20
    # A quantile of 2,000 resamples is off by about 0.06 of its standard error, 0.1.
    assert value == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.02)


def test_ratio_weighs_the_whole_of_each_sentence():
    value, (low, high) = BOOTSTRAP.ratio(np.array([1, 3, 0]), np.array([1, 4, 5]))
    assert value == pytest.approx(0.4)
    assert low < value < high


def test_what_a_resample_makes_smaller_stays_inside_its_interval():
    """100 sentences of a word of their own each: a resample has about 63 of the 100 words."""
    value, (low, high) = BOOTSTRAP.statistic(lambda weights: float((weights > 0).mean()), 100)
    assert value == 1.0
    assert low < value < high
    assert Number("distinct_1", "", value, (low, high), 100, "", bounds=SHARE).to_dict()[
        "interval"
    ] == [low, 1.0]


def test_two_texts_are_resampled_apart():
    pairs = []
    BOOTSTRAP.statistic(lambda one, other: pairs.append((one, other)) or 0.0, 50, 50)
    drawn = np.array([[(one - 1) @ (other - 1)] for one, other in pairs[1:]])
    # Were they one resample, this would be the variance of 50 counts, about 50.
    assert abs(drawn.mean()) < 4 * drawn.std() / len(drawn) ** 0.5


def test_resamples_without_the_number_are_left_out():
    wholes = np.array([1, 0, 0])
    assert BOOTSTRAP.ratio(wholes, wholes) == (1.0, (1.0, 1.0))
    value, interval = BOOTSTRAP.statistic(lambda w: np.nan if w[0] != 1 else 2.0, 50)
    assert (value, interval) == (2.0, None)


def test_the_seed_is_all_that_it_depends_on():
    values = np.arange(10.0)
    assert BOOTSTRAP.mean(values) == BOOTSTRAP.mean(values)
    assert BOOTSTRAP.mean(values) != Bootstrap(2000, seed=1).mean(values)
