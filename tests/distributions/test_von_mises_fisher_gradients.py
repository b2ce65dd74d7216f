# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import numpy
import pytest
import torch

from pyro_textvae.distributions import VonMisesFisher
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.distributions.von_mises_fisher_draws import angle_slope, draw_angle
from pyro_textvae.distributions.von_mises_fisher_functions import cosine_variance, mean_length
from tests.distributions.directions import across, generic_direction
from tests.distributions.von_mises_fisher_cases import von_mises_fisher


def exact(loc, k, a):
    """E[a . z + (a . z)^2] in closed form, for a unit vector ``a``."""
    mean = mean_length(k, loc.shape[-1])
    square = cosine_variance(k, loc.shape[-1]) + mean.square()
    cosine = (a * loc).sum(-1)
    rest = (1 - cosine.square()) * (1 - square) / (loc.shape[-1] - 1)
    return cosine * mean + cosine.square() * square + rest


@pytest.mark.parametrize(
    ("dim", "size"),
    [(3, 20_000), (8, 20_000), (32, 20_000), (128, 20_000)]
    + [pytest.param(dim, 400_000, marks=pytest.mark.slow) for dim in (3, 8, 32, 128)],
)
@pytest.mark.parametrize("concentration", [1.0, 10.0, 50.0, 200.0, 1000.0])
def test_gradient_to_the_concentration_has_no_bias(dim, concentration, size):
    """d E[cosine] / dk = A' and d E[cosine^2] / dk, 40 cells, in 4.5 standard errors.

    The derivative of an accepted proposal, without a correction, is off by up to 20 %.
    """
    k = torch.full((size,), concentration, dtype=torch.float64, requires_grad=True)
    cosine = draw_angle(k, dim).cos()
    truth_k = torch.tensor(concentration, dtype=torch.float64, requires_grad=True)
    mean, variance = mean_length(truth_k, dim), cosine_variance(truth_k, dim)
    seen = []
    for drawn, expected in ((cosine, mean), (cosine.square(), variance + mean.square())):
        (slopes,) = torch.autograd.grad(drawn.sum(), k, retain_graph=True)
        (truth,) = torch.autograd.grad(expected, truth_k, retain_graph=True)
        score = (slopes.mean() - truth) * size**0.5 / slopes.std()
        assert abs(score) < 4.5
        seen.append(4.5 * slopes.std() / size**0.5 / truth)
    # The check has teeth: the bias of the mean cosine that it can see.
    assert seen[0] < 0.05 * (20_000 / size) ** 0.5


@pytest.mark.parametrize("dim", [2, 3, 16])
def test_gradient_at_the_uniform(dim):
    """A'(0) = 1 / d, from the side where there is a distribution."""
    size = 50_000
    k = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(draw_angle(k, dim).cos().sum(), k)
    score = (slopes.mean() - 1 / dim) * size**0.5 / slopes.std()
    assert abs(score) < 4.5


@pytest.mark.parametrize(
    ("dim", "concentration", "size"),
    [
        (2, 2.0, 20_000),
        (3, 0.5, 20_000),
        (3, 40.0, 20_000),
        (16, 5.0, 20_000),
        (16, 300.0, 20_000),
    ]
    + [
        pytest.param(dim, k, 100_000, marks=pytest.mark.slow)
        for dim in (3, 16, 128)
        for k in (0.5, 5.0, 40.0, 300.0)
    ],
)
def test_gradients_of_expectations(dim, concentration, size):
    """d E[a . z + (a . z)^2] to both parameters, end to end, in 4.5 standard errors.

    Of the gradient to ``loc`` the part along the sphere.
    """
    loc = generic_direction(dim)
    a = unit_vector(loc + 0.5 * across(loc))
    locs = loc.expand(size, dim).clone().requires_grad_()
    concentrations = torch.full((size,), concentration, dtype=torch.float64, requires_grad=True)
    z = VonMisesFisher(locs, concentrations).rsample()
    along = (z * a).sum(-1)
    total = (along + along.square()).sum()
    by_loc, by_concentration = torch.autograd.grad(total, [locs, concentrations])

    truth_loc = loc.clone().requires_grad_()
    k = torch.tensor(concentration, dtype=torch.float64, requires_grad=True)
    expected = exact(unit_vector(truth_loc), k, a)
    turned, slope = torch.autograd.grad(expected, [truth_loc, k])
    score = (by_concentration.mean() - slope) * size**0.5 / by_concentration.std()
    assert abs(score) < 4.5
    # The check has teeth: the error that it can see is a part of the gradient.
    assert 4.5 * by_concentration.std() / size**0.5 < 0.3 * slope.abs()

    along_sphere = by_loc - (by_loc @ loc).unsqueeze(-1) * loc
    scores = (along_sphere.mean(0) - turned) * size**0.5 / along_sphere.std(0)
    assert scores.abs().max() < 4.5, scores


def test_in_three_dimensions_the_gradient_is_known():
    """There y = -log(u + (1 - u) exp(-2 k)) / k of a uniform u, which is differentiated itself."""
    k = torch.logspace(-2, 3, 40, dtype=torch.float64, requires_grad=True)
    u = (torch.arange(1, 40).double() / 40).unsqueeze(-1)
    y = -(u + (1 - u) * (-2 * k).exp()).log() / k
    (slope,) = torch.autograd.grad(y.sum(), k)
    angle = 2 * (y.detach() / 2).sqrt().asin()
    found = (angle.sin() * angle_slope(k.detach().expand_as(angle), angle, 3)).sum(0)
    torch.testing.assert_close(found, slope, rtol=1e-8, atol=0)


@pytest.mark.parametrize("dim", [2, 3, 4, 16, 128, 1024])
@pytest.mark.parametrize("concentration", [1e-3, 0.7, 31.0, 2e3, 1e6])
def test_angles_move_so_that_their_distribution_function_stays(dim, concentration):
    """Against the integral over everything below, or above, by 600 nodes in twice the width."""
    nodes, weights = (torch.from_numpy(a) for a in numpy.polynomial.legendre.leggauss(600))
    k = torch.tensor(concentration).double()
    angles = draw_angle(k.expand(50), dim)
    mean = mean_length(k, dim)
    width = 25 * min(1.0, 1 / math.sqrt(concentration), 1 / math.sqrt(max(dim - 2, 1e-9)))
    truth = []
    for angle in angles:
        below = angle.cos() > mean
        end = (angle - width).clamp(min=0) if below else (angle + width).clamp(max=math.pi)
        p = (angle + end) / 2 + (end - angle) / 2 * nodes
        gap = -2 * ((p + angle) / 2).sin() * ((p - angle) / 2).sin()  # cos p - cos angle
        log_ratio = k * gap + (dim - 2) * (p.sin().log() - angle.sin().log())
        offset = gap + angle.cos() - mean
        truth.append(-(log_ratio.exp() * offset.abs() * weights).sum() * (end - angle).abs() / 2)
    found = angle_slope(k.expand(50), angles, dim)
    torch.testing.assert_close(found, torch.stack(truth), rtol=1e-7, atol=0)
    assert (found <= 0).all()


@pytest.mark.parametrize("dim", [2, 3, 17])
def test_gradient_to_the_mean_direction_is_a_rotation(dim):
    """Draw by draw: a turn of ``loc`` in a plane turns the part of the draw in that plane."""
    loc = generic_direction(dim).requires_grad_()
    z = VonMisesFisher(loc, torch.tensor(3.0).double()).rsample()
    side = across(loc.detach())
    rows = [torch.autograd.grad(z[i], loc, retain_graph=True)[0] @ side for i in range(dim)]
    moved = torch.stack(rows).detach()
    z, start = z.detach(), loc.detach()
    # Infinitesimal rotation that carries start towards side.
    expected = (z @ start) * side - (z @ side) * start
    torch.testing.assert_close(moved, expected, rtol=1e-12, atol=1e-12)


def test_gradient_to_the_concentration_is_a_turn_towards_the_mean_direction():
    k = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    loc = generic_direction(5)
    z = VonMisesFisher(loc, k).rsample()
    rows = [torch.autograd.grad(z[i], k, retain_graph=True)[0] for i in range(5)]
    moved = torch.stack(rows).detach()
    z = z.detach()
    assert moved @ loc > 0
    assert abs(moved @ z) < 1e-14
    plane = torch.linalg.qr(torch.stack([loc, z], -1))[0]
    torch.testing.assert_close(plane @ (plane.T @ moved), moved, rtol=0, atol=1e-14)


def test_a_draw_without_gradients_has_none():
    k = torch.tensor(3.0, requires_grad=True)
    p = VonMisesFisher(generic_direction(3).float(), k)
    assert not p.sample().requires_grad
    assert p.rsample().requires_grad
    assert not von_mises_fisher(3, 2.0).rsample().requires_grad


def test_second_derivative_of_a_draw_is_refused():
    k = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    z = VonMisesFisher(generic_direction(3), k).rsample()
    (slope,) = torch.autograd.grad(z[0], k, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        slope.backward()
