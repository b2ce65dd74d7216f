# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Distribution

from pyro_textvae.distributions import HypersphericalUniform
from pyro_textvae.distributions.sphere import (
    great_circle,
    lies_on_sphere,
    log_surface_area,
    unit_vector,
)

EPS = torch.finfo(torch.float64).eps


@pytest.mark.parametrize(
    ("dim", "area"),
    [(2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2), (6, math.pi**3)],
)
def test_area(dim, area):
    assert log_surface_area(dim) == pytest.approx(math.log(area), abs=8 * EPS)


def test_area_of_many_dimensions_is_finite():
    assert log_surface_area(1024) == pytest.approx(
        log_surface_area(1022) + math.log(2 * math.pi / 1022), rel=1e-13
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_vector_has_no_singularity(dtype):
    tiny = torch.finfo(dtype).tiny
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -tiny], [0.0, -1e-3]], dtype=dtype)
    rows.requires_grad_()
    units = unit_vector(rows)
    expected = torch.tensor([[0.6, 0.8], [1.0, 0.0], [1.0, 0.0], [0.0, -1.0]], dtype=dtype)
    torch.testing.assert_close(units, expected)
    units[:, 0].sum().backward()
    assert rows.grad is not None
    # d x0 / d x = (1 - x0^2, -x0 x1) / norm.
    slopes = torch.tensor([[0.128, -0.096], [0.0, 0.0], [0.0, 0.0], [1e3, 0.0]], dtype=dtype)
    torch.testing.assert_close(rows.grad, slopes)


def test_great_circle_of_a_quarter_turn():
    share = torch.linspace(0.0, 1.0, 4).double()
    arc = great_circle(
        torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 0, 1.0]).double(), share
    )
    angle = share * math.pi / 2
    expected = torch.stack([angle.cos(), torch.zeros(4).double(), angle.sin()], -1)
    torch.testing.assert_close(arc, expected, rtol=0, atol=8 * EPS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("distance", [0.0, 1e-6, 0.7, 2.0 - 1e-6, 2.0])
def test_great_circle_takes_equal_steps_from_end_to_end(distance, dtype):
    """For ends of any distance, the same and opposite ones too, where there is no direction."""
    angle = 2 * math.asin(distance / 2)
    start = unit_vector(torch.tensor([[0.3, -0.5, 0.2, 0.9], [1.0, 0.0, 0.0, 0.0]], dtype=dtype))
    other = unit_vector(torch.tensor([[0.5, 0.3, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]], dtype=dtype))
    end = unit_vector(math.cos(angle) * start + math.sin(angle) * other)
    arc = great_circle(start, end, torch.linspace(0.0, 1.0, 6, dtype=dtype))
    assert arc.shape == (6, 2, 4)
    eps = torch.finfo(dtype).eps
    ones = torch.ones(6, 2, dtype=dtype)
    torch.testing.assert_close(arc.norm(dim=-1), ones, rtol=0, atol=4 * eps)
    torch.testing.assert_close(arc[0], start, rtol=0, atol=4 * eps)
    # Near opposite ends the direction across is known to a rounding error over the distance left;
    # ends are met to a few rounding errors all the same.
    torch.testing.assert_close(arc[-1], end, rtol=0, atol=32 * eps)
    chords = arc.diff(dim=0).norm(dim=-1)
    expected = torch.full_like(chords, 2 * math.sin(angle / 10))
    torch.testing.assert_close(chords, expected, rtol=0, atol=32 * eps)


class Silent(Distribution):
    arg_constraints: dict = {}

    @property
    def support(self):
        raise NotImplementedError


def test_what_lies_on_a_sphere():
    sphere = HypersphericalUniform(3)
    for fn in (sphere, sphere.expand([4]), sphere.expand([4]).to_event(1), sphere.mask(True)):
        assert lies_on_sphere(fn)
    normal = dist.Normal(torch.zeros(3), torch.ones(3))
    for fn in (normal, normal.to_event(1), Silent()):
        assert not lies_on_sphere(fn)
