# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Quantiles of Student's t, and degrees of freedom of a sum."""

import math

import pytest
import torch

from pyro_textvae.evaluation.importance.student import (
    freedom_of_sum,
    student_deviate,
    variance_ceiling,
)


@pytest.mark.parametrize("freedom", [3, 7, 15.5, 300])
def test_share_of_the_mass_within_is_19_of_20(freedom):
    """By the trapezoid rule over the density, in the angle whose tangent is t / sqrt(freedom)."""
    angles = torch.linspace(0, math.pi / 2, 200_001, dtype=torch.float64)
    density = angles.cos().pow(freedom - 1)
    inside = angles <= math.atan(student_deviate(freedom) / math.sqrt(freedom))
    assert density[inside].sum() / density.sum() == pytest.approx(0.95, abs=2e-4)


@pytest.mark.parametrize("freedom", [3.0, 7.0, 15.5, 300.0])
def test_variance_is_above_its_ceiling_once_in_twenty(freedom):
    """By the distribution of chi-square; the approximation is a little too high for few."""
    chi_square = freedom / variance_ceiling(freedom)
    below = torch.special.gammainc(torch.tensor(freedom / 2), torch.tensor(chi_square / 2))
    assert 0.044 < below.item() < 0.0505


def test_ceiling_of_fewer_than_three_degrees_is_that_of_three():
    assert variance_ceiling(1.0) == variance_ceiling(3.0)


@pytest.mark.parametrize(
    ("errors", "freedom", "expected"),
    [
        ([1.0, 1.0, 1.0], [7.0, 7.0, 7.0], 21.0),
        ([1.0, 0.0, 1e-9], [7.0, 1.0, 1.0], 7.0),
        ([2.0, 1.0], [7.0, math.inf], 25 / 16 * 7),
        ([0.0, 0.0], [7.0, 3.0], 3.0),
        ([1e-200, 1e-200], [5.0, 5.0], 10.0),
    ],
)
def test_freedom_of_a_sum_of_terms(errors, freedom, expected):
    found = freedom_of_sum(*(torch.tensor(each, dtype=torch.float64) for each in (errors, freedom)))
    assert found.item() == pytest.approx(expected)
