# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.distributions.sphere import unit_vector
from tests.distributions.directions import across, generic_direction, power_spherical


@pytest.mark.parametrize(
    ("dim", "concentration", "dtype"),
    [
        (2, 0.3, torch.float64),
        (2, 1e4, torch.float32),
        (3, 10.0, torch.float64),
        (8, 5.0, torch.float64),
        (8, 1e4, torch.float32),
    ],
)
def test_moments_of_a_million_draws(dim, concentration, dtype):
    """Of (1 - cosine) / 2, which is Beta(b, b + k), and of a direction across: 4.5 standard errors.

    The distance is taken from the draws, not the cosine: that of float32 is rounded to 1.
    """
    p = power_spherical(dim, concentration, dtype)
    loc, sideways = p.loc.double(), across(p.loc.double())
    parts = []
    for _ in range(10):
        z = p.sample((100_000,)).double()
        distance = (z - loc).square().sum(-1) / 4
        side = (z * sideways).sum(-1)
        parts.append(
            torch.stack([distance, distance.square(), side, side.square(), side * distance])
        )
    values = torch.cat(parts, -1)
    half = (dim - 1) / 2
    total = 2 * half + concentration
    first = half / total
    second = first * (half + 1) / (total + 1)
    square_across = 4 * (first - second) / (dim - 1)
    truth = torch.tensor([first, second, 0.0, square_across, 0.0]).double()
    scores = (values.mean(-1) - truth) * values.shape[-1] ** 0.5 / values.std(-1)
    assert scores.abs().max() < 4.5, scores
    mean = (1 - 2 * first) * p.loc
    torch.testing.assert_close(p.mean, mean.to(dtype), rtol=1e-5, atol=1e-6)


def exact(loc, concentration, a):
    """E[a . z + (a . z)^2] in closed form, for a unit vector ``a``."""
    half = (loc.shape[-1] - 1) / 2
    total = 2 * half + concentration
    mean = concentration / total
    variance = 4 * half * (half + concentration) / (total**2 * (total + 1))
    square = variance + mean**2
    cosine = (a * loc).sum(-1)
    rest = (1 - cosine**2) * (1 - square) / (loc.shape[-1] - 1)
    return cosine * mean + cosine**2 * square + rest


@pytest.mark.parametrize(
    ("dim", "concentration"), [(2, 2.0), (3, 0.5), (3, 40.0), (16, 5.0), (16, 300.0)]
)
def test_gradients_of_expectations(dim, concentration):
    """d E[a . z + (a . z)^2] to both parameters against finite differences of the exact value.

    Draw by draw, in 4.5 standard errors; of the gradient to ``loc`` the part along the sphere.
    """
    size = 100_000
    loc = generic_direction(dim)
    a = unit_vector(loc + 0.5 * across(loc))
    locs = loc.expand(size, dim).clone().requires_grad_()
    concentrations = torch.full((size,), concentration, dtype=torch.float64, requires_grad=True)
    z = PowerSpherical(locs, concentrations).rsample()
    along = (z * a).sum(-1)
    total = (along + along.square()).sum()
    by_loc, by_concentration = torch.autograd.grad(total, [locs, concentrations])
    step = 1e-5
    k = torch.tensor(concentration).double()
    slope = (exact(loc, k + step, a) - exact(loc, k - step, a)) / (2 * step)
    score = (by_concentration.mean() - slope) * size**0.5 / by_concentration.std()
    assert abs(score) < 4.5
    # The check has teeth: the error that it can see is a small part of the gradient.
    assert 4.5 * by_concentration.std() / size**0.5 < 0.2 * slope.abs()

    basis = torch.linalg.qr(torch.cat([loc[:, None], torch.eye(dim).double()[:, 1:]], 1))[0][:, 1:]
    turned = torch.stack(
        [
            exact(unit_vector(loc + step * side), k, a)
            - exact(unit_vector(loc - step * side), k, a)
            for side in basis.T
        ]
    ) / (2 * step)
    turning = by_loc @ basis
    scores = (turning.mean(0) - turned) * size**0.5 / turning.std(0)
    assert scores.abs().max() < 4.5, scores


@pytest.mark.parametrize("dim", [2, 3, 17])
def test_gradient_of_the_mean_direction_is_a_rotation(dim):
    """Draw by draw: a turn of ``loc`` in a plane turns the part of the draw in that plane."""
    loc = generic_direction(dim).requires_grad_()
    p = PowerSpherical(loc, torch.tensor(3.0).double())
    z = p.rsample()
    side = across(loc.detach())
    rows = [torch.autograd.grad(z[i], loc, retain_graph=True)[0] @ side for i in range(dim)]
    moved = torch.stack(rows).detach()
    z, start = z.detach(), loc.detach()
    # Infinitesimal rotation that carries start towards side.
    expected = (z @ start) * side - (z @ side) * start
    torch.testing.assert_close(moved, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("concentration", [0.01, 1.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("dim", [2, 3, 32, 512])
def test_float32_at_the_poles(dim, concentration, sign):
    """``loc`` on an axis, either way, is where reflections break down."""
    loc = torch.zeros(dim)
    loc[0] = sign
    loc.requires_grad_()
    k = torch.tensor(concentration, requires_grad=True)
    p = PowerSpherical(loc, k)
    z = p.rsample((200,))
    log_prob = p.log_prob(z)
    assert z.dtype == log_prob.dtype == torch.float32
    assert (z.norm(dim=-1) - 1).abs().max() < 1e-6
    assert log_prob.isfinite().all()
    for gradient in torch.autograd.grad(log_prob.sum() + z[..., -1].sum(), [loc, k]):
        assert gradient.isfinite().all()


def test_draws_are_closer_to_the_sphere_than_the_mean_direction_need_be():
    """Else the draws of a ``loc`` that just passes would not."""
    loc = power_spherical(3, 1.0, torch.float32).loc * (1 + 1.9e-6)
    z = PowerSpherical(loc, torch.tensor(50.0)).sample((1000,))
    assert (z.double().norm(dim=-1) - 1).abs().max() < 4 * torch.finfo(torch.float32).eps
    assert (loc.norm() - 1).abs() > 10 * torch.finfo(torch.float32).eps


def test_draws_of_a_batch_are_independent():
    z = power_spherical(3, 5.0).expand([50_000, 2]).sample()
    sides = (z * across(generic_direction(3))).sum(-1)
    distances = (z * generic_direction(3)).sum(-1)
    for values in (sides, distances):
        correlation = torch.corrcoef(values.T)[0, 1]
        assert abs(correlation) < 4.5 / 50_000**0.5
