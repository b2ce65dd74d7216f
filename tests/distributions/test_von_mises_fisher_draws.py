# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.distributions import VonMisesFisher, von_mises_fisher_draws
from pyro_textvae.distributions.von_mises_fisher_draws import draw_angle
from pyro_textvae.distributions.von_mises_fisher_functions import cosine_variance, mean_length
from tests.distributions.directions import across, generic_direction
from tests.distributions.von_mises_fisher_cases import von_mises_fisher

CELLS = [
    (2, 0.0),
    (2, 1.0),
    (2, 1e6),
    (3, 10.0),
    (5, 2.0),
    (8, 50.0),
    (64, 0.0),
    (64, 1e4),
    (1024, 1e6),
    # Where the sampler of the paper's public code is off: by -0.083, -0.124, ...
    (32, 10.5),
    (128, 50.0),
    (50, 35.0),
]


def angles(dim, concentration, size):
    return draw_angle(torch.full((size,), concentration, dtype=torch.float64), dim)


@pytest.mark.parametrize(
    "size", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow, id="a million")]
)
@pytest.mark.parametrize(("dim", "concentration"), CELLS)
def test_moments_of_the_angle(dim, concentration, size):
    """E[y] = 1 - A and E[y^2] = A' + (1 - A)^2 of y = 1 - cosine, in 4.5 standard errors."""
    y = 2 * (angles(dim, concentration, size) / 2).sin().square()
    k = torch.tensor(concentration).double()
    first = 1 - mean_length(k, dim)
    truth = torch.stack([first, cosine_variance(k, dim) + first.square()])
    values = torch.stack([y, y.square()])
    scores = (values.mean(-1) - truth) * size**0.5 / values.std(-1)
    assert scores.abs().max() < 4.5, scores
    # The check has teeth: an error of 3 % of the mean would be seen.
    assert 4.5 * y.std() / size**0.5 < 0.03 * first


def test_mean_cosine_where_the_public_code_fails():
    assert mean_length(torch.tensor(35.0).double(), 50).item() == pytest.approx(0.517, abs=5e-4)
    cosine = angles(50, 35.0, 100_000).cos()
    assert cosine.mean().item() == pytest.approx(0.517, abs=2e-3)


@pytest.mark.parametrize(
    ("dim", "concentration"),
    [(2, 0.3), (2, 3.0), (3, 1e5), (8, 0.0), (32, 10.5), (128, 50.0), (512, 2000.0)],
)
def test_angles_have_the_distribution_of_the_density(dim, concentration):
    """Kolmogorov-Smirnov against the integrated density; 2.5 is passed once in 100,000 times."""
    size = 50_000
    drawn = angles(dim, concentration, size).sort().values
    grid = torch.linspace(max(0.0, drawn[0] - 1e-9), drawn[-1] + 1e-9, 20_001).double()
    middle = (grid[1:] + grid[:-1]) / 2
    density = torch.exp(_log_density(middle, concentration, dim))
    share = torch.cat([torch.zeros(1).double(), density.cumsum(0) / density.sum()])
    below = _interpolate(grid, share, drawn)
    steps = torch.arange(size + 1).double() / size
    distance = torch.maximum((below - steps[:-1]).abs(), (below - steps[1:]).abs()).max()
    assert distance * size**0.5 < 2.5


def _log_density(angle, concentration, dim):
    log_density = -2 * concentration * (angle / 2).sin().square()
    if dim > 2:
        log_density = log_density + (dim - 2) * angle.sin().log()
    return log_density - log_density.max()


def _interpolate(grid, values, x):
    right = torch.searchsorted(grid, x).clamp(1, len(grid) - 1)
    share = (x - grid[right - 1]) / (grid[right] - grid[right - 1])
    return values[right - 1] + share * (values[right] - values[right - 1])


@pytest.mark.parametrize(
    ("dim", "concentration", "dtype"),
    [
        (2, 1e4, torch.float32),
        (3, 10.0, torch.float64),
        (8, 0.0, torch.float32),
        (8, 1e4, torch.float32),
        (16, 20.0, torch.float64),
    ],
)
def test_moments_of_the_draws(dim, concentration, dtype):
    """Of the distance to ``loc`` and of a direction across, in 4.5 standard errors.

    The distance is taken from the draws, not the cosine: that of float32 is rounded to 1.
    """
    size = 50_000
    p = von_mises_fisher(dim, concentration, dtype)
    loc, sideways = p.loc.double(), across(p.loc.double())
    z = p.sample((size,)).double()
    distance = (z - loc).square().sum(-1) / 2
    side = (z * sideways).sum(-1)
    values = torch.stack([distance, distance.square(), side, side.square(), side * distance])
    k = torch.tensor(concentration).double()
    first = 1 - mean_length(k, dim)
    variance = cosine_variance(k, dim)
    square_across = (first * (2 - first) - variance) / (dim - 1)
    zero = torch.zeros_like(first)
    truth = torch.stack([first, variance + first.square(), zero, square_across, zero])
    scores = (values.mean(-1) - truth) * size**0.5 / values.std(-1)
    assert scores.abs().max() < 4.5, scores
    # The distribution's own moments, coordinate by coordinate.
    scores = (z.mean(0) - p.mean) * size**0.5 / z.std(0)
    assert scores.abs().max() < 4.5, scores
    squares = (z - p.mean.double()).square()
    scores = (squares.mean(0) - p.variance) * size**0.5 / squares.std(0)
    assert scores.abs().max() < 4.5, scores


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("concentration", [0.0, 0.01, 1.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("dim", [2, 3, 32, 512])
def test_float32_at_the_poles(dim, concentration, sign):
    """``loc`` on an axis, either way, is where reflections break down."""
    loc = torch.zeros(dim)
    loc[0] = sign
    loc.requires_grad_()
    k = torch.tensor(concentration, requires_grad=True)
    p = VonMisesFisher(loc, k)
    z = p.rsample((200,))
    log_prob = p.log_prob(z)
    assert z.dtype == log_prob.dtype == torch.float32
    assert (z.norm(dim=-1) - 1).abs().max() < 1e-6
    assert log_prob.isfinite().all()
    for gradient in torch.autograd.grad(log_prob.sum() + z[..., -1].sum(), [loc, k]):
        assert gradient.isfinite().all()


def test_draws_are_closer_to_the_sphere_than_the_mean_direction_need_be():
    """Else the draws of a ``loc`` that just passes would not."""
    loc = von_mises_fisher(3, 1.0, torch.float32).loc * (1 + 1.9e-6)
    z = VonMisesFisher(loc, torch.tensor(50.0)).sample((1000,))
    assert (z.double().norm(dim=-1) - 1).abs().max() < 4 * torch.finfo(torch.float32).eps
    assert (loc.norm() - 1).abs() > 10 * torch.finfo(torch.float32).eps


def test_draws_of_a_batch_are_independent():
    z = von_mises_fisher(3, 5.0).expand([50_000, 2]).sample()
    sides = (z * across(generic_direction(3))).sum(-1)
    distances = (z * generic_direction(3)).sum(-1)
    for values in (sides, distances):
        correlation = torch.corrcoef(values.T)[0, 1]
        assert abs(correlation) < 4.5 / 50_000**0.5


@pytest.fixture
def rounds(monkeypatch):
    """The sizes of the rounds of proposals."""
    sizes = []
    propose = von_mises_fisher_draws._propose

    def counted(concentration, dim):
        sizes.append(len(concentration))
        return propose(concentration, dim)

    monkeypatch.setattr(von_mises_fisher_draws, "_propose", counted)
    return sizes


@pytest.mark.parametrize("dim", [2, 64, 1024])
def test_few_rounds_of_rejection(rounds, dim):
    """At least 0.65 of the proposals are accepted: 1e5 elements are expected to need 11 rounds."""
    k = 10 ** (8 * torch.rand(100_000).double() - 2)
    draw_angle(k, dim)
    assert len(rounds) <= 14
    assert rounds[0] / sum(rounds) > 0.65


@pytest.mark.parametrize("dim", [2, 3, 8, 1024])
def test_proposals_of_the_uniform_are_all_accepted(rounds, dim):
    angles(dim, 0.0, 10_000)
    assert rounds == [10_000]


def test_what_is_no_number_ends():
    """Validation may be off; a loop that waits for a draw to be accepted must still end."""
    k = torch.tensor([math.nan, 2.0, math.inf]).double()
    drawn = draw_angle(k, 5)
    assert drawn.isnan().tolist()[:2] == [True, False]
    assert draw_angle(torch.empty(0).double(), 5).shape == (0,)


def test_draws_repeat_with_the_seed():
    first, second = (
        (torch.manual_seed(3), von_mises_fisher(4, 7.0).sample((5,)))[1] for _ in range(2)
    )
    assert torch.equal(first, second)
