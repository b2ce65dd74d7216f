# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.evaluation.latents.control_variates import ControlVariates

EPSILON = 1e-12


def draws(count, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, columns, generator=generator, dtype=torch.float64)


def test_what_the_controls_explain_is_free_of_noise():
    controls = draws(200, 2)
    values = 3.0 + controls @ torch.tensor([2.0, -5.0], dtype=torch.float64)
    result = ControlVariates(controls, EPSILON).mean(values)
    assert result.value == pytest.approx(3.0, abs=1e-13)
    assert result.standard_error < 1e-13
    assert result.coefficients.tolist() == pytest.approx([2.0, -5.0])


def test_estimates_spread_as_their_standard_errors_say_around_the_truth():
    """f = u + noise of size 0.5: the control leaves 0.5 of sqrt(1.25)."""
    scores, errors = [], []
    for seed in range(400):
        values = draws(100, 2, seed)
        result = ControlVariates(values[:, :1], EPSILON).mean(values[:, 0] + 0.5 * values[:, 1])
        scores.append(result.value / result.standard_error)
        errors.append(result.standard_error)
    scores = torch.tensor(scores)
    # 400 scores of a standard normal: their mean is within 4.5 / 20, their spread within
    # 4.5 / sqrt(800).
    assert abs(scores.mean()) < 0.23
    assert scores.std().item() == pytest.approx(1.0, abs=0.16)
    # One standard error has a relative spread of 1 / sqrt(200), the mean of 400 a twentieth of it.
    assert sum(errors) / 400 == pytest.approx(0.05, rel=0.02)


def test_estimates_add_up():
    controls, first, second = draws(80, 3), draws(80, 1, 1)[:, 0], draws(80, 1, 2)[:, 0].exp()
    fit = ControlVariates(controls, EPSILON)
    total = fit.mean(first).value + fit.mean(second).value
    assert fit.mean(first + second).value == pytest.approx(total, abs=1e-14)


def test_columns_that_say_the_same_or_nothing_do_no_harm():
    control, values = draws(90, 1), draws(90, 1, 1)[:, 0]
    doubled = torch.cat([control, control, torch.ones_like(control), 1e-14 * draws(90, 1, 2)], 1)
    alone = ControlVariates(control, EPSILON).mean(values)
    together = ControlVariates(doubled, EPSILON).mean(values)
    assert together.value == pytest.approx(alone.value, abs=1e-12)


def test_columns_that_are_not_finite_are_left_out():
    controls, values = draws(90, 2), draws(90, 1, 1)[:, 0]
    alone = ControlVariates(controls[:, :1], EPSILON).mean(values)
    controls[3, 1] = math.inf
    assert ControlVariates(controls, EPSILON).mean(values).value == pytest.approx(alone.value)


def test_few_draws_and_no_controls_give_the_plain_mean():
    controls, values = draws(49, 1), draws(49, 1, 1)[:, 0]
    plain = (values.mean().item(), (values.std() / math.sqrt(49)).item())
    assert ControlVariates(controls, EPSILON).mean(values)[:2] == pytest.approx(plain)
    assert ControlVariates(controls[:, :0], EPSILON).mean(values)[:2] == pytest.approx(plain)


def test_infinite_values_have_an_infinite_mean_and_no_error():
    values = draws(50, 1, 1)[:, 0]
    values[7] = math.inf
    result = ControlVariates(draws(50, 1), EPSILON).mean(values)
    assert result.value == math.inf
    assert math.isnan(result.standard_error)


def test_one_draw_has_no_standard_error():
    result = ControlVariates(draws(1, 0), EPSILON).mean(torch.tensor([2.0]).double())
    assert result.value == 2.0
    assert math.isnan(result.standard_error)
