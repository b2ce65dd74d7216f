# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The parts of a sequential Monte Carlo sampler: its estimate, its moves, what a pilot finds."""

import math

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.evaluation.annealing.coordinates import Coordinates
from pyro_textvae.evaluation.annealing.curvature import closest_gaussian
from pyro_textvae.evaluation.annealing.moves import MoveSettings, moves_of
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.particles import DensityPath
from pyro_textvae.evaluation.annealing.population import Schedule, pilot, run_population
from pyro_textvae.evaluation.importance.components import FamilyComponent, PriorComponent
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import UniformSphere
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.evaluation.replicates import Numbered, TableGuide, circle, diagonal, z_score
from tests.quadrature import SENTENCES, TinyTextModel

COUNT = 400


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def gaussian():
    """A path from the prior, far from the posterior, and log p(x); one sentence many times."""
    model = LinearGaussian(2)
    with evaluation_mode(model, model, 1):
        _, x = model.simulate(1)
    batch = {"tokens": x.expand(COUNT, -1)}
    guide = TableGuide(diagonal, torch.zeros(1, 2).double(), torch.ones(1, 2).double())
    batch["number"] = torch.arange(COUNT)
    posteriors = Posteriors(Numbered(model), guide, batch, 0)
    target = Target(Numbered(model), batch, max_tokens=10**6, plates=posteriors.plates)
    start = FamilyComponent(posteriors.vector, posteriors.family)
    path = DensityPath(target, posteriors, start, Coordinates.of(posteriors))
    return path, model.log_px(x), model.posterior(x)


def schedule_of(betas, size=COUNT, step=0.3):
    units = torch.eye(2).double().expand(size, 2, 2)
    stages = [
        MoveSettings(torch.full((size,), beta).double(), torch.full((1, size), step), units)
        for beta in betas
    ]
    return Schedule(torch.full((size,), len(betas)), stages)


@pytest.mark.parametrize("betas", [(0.02, 0.2, 1.0), (0.001, 0.01, 0.05, 0.2, 0.5, 1.0), (1.0,)])
def test_mean_weight_is_the_probability_however_few_the_densities(gaussian, betas):
    """Nearly every step ends in resampling; without the mean weight that it stands for, or with
    draws that are not by the weights, the mean is off by far more than 4.5 errors."""
    path, log_px, _ = gaussian
    noise = SentenceNoise(list(range(COUNT)))
    moves = moves_of(path.coordinates, 1)
    population = run_population(path, moves, schedule_of(betas), 16, noise)
    assert population.log_weights.shape == (16, COUNT)
    found = (population.log_weights.logsumexp(0) - math.log(16) - log_px).exp()
    assert abs(z_score(found, 1.0)) < 4.5


def test_sentences_with_fewer_densities_end_where_they_would_alone(gaussian):
    """A schedule for each; those of a batch change nothing for one another."""
    path, *_ = gaussian
    four = torch.arange(4)
    path = path.rows(four)
    long, short = schedule_of((0.01, 0.1, 1.0), 4), schedule_of((0.1, 1.0, 1.0), 4)
    lengths = torch.tensor([3, 2, 1, 3])
    is_long = lengths == 3
    stages = [
        MoveSettings(torch.where(is_long, one.beta, two.beta), one.steps, one.units)
        for one, two in zip(long.stages, short.stages, strict=True)
    ]
    stages[0].beta[2] = 1.0
    schedule, moves = Schedule(lengths, stages), moves_of(path.coordinates, 2)
    whole = run_population(path, moves, schedule, 8, SentenceNoise([5, 6, 7, 8]))
    for row in range(4):
        index = torch.tensor([row])
        alone = run_population(
            path.rows(index), moves, schedule.rows(index), 8, SentenceNoise([5 + row])
        )
        torch.testing.assert_close(
            whole.log_weights[:, row], alone.log_weights[:, 0], rtol=0, atol=1e-9
        )
        torch.testing.assert_close(
            whole.particles.z[:, row], alone.particles.z[:, 0], rtol=0, atol=1e-9
        )


def test_pilot_finds_densities_as_near_as_asked_and_the_scale_of_the_posterior(gaussian):
    path, _, exact = gaussian
    path = path.rows(torch.arange(20))
    noise = SentenceNoise(list(range(20)))
    moves = moves_of(path.coordinates, 2)
    options = {"passes": 2, "moves_at_end": True}
    schedule, population = pilot(path, moves, 64, noise, threshold=0.5, **options)
    betas = torch.stack([stage.beta for stage in schedule.stages])
    assert (betas.diff(dim=0) >= 0).all()
    assert (betas[schedule.lengths - 1, torch.arange(20)] == 1).all()
    assert 2 <= schedule.lengths.min() <= schedule.lengths.max() <= 10
    # Both densities and units of a Gaussian are found from any points, and so exactly.
    last = [schedule.stages[length - 1].units for length in schedule.lengths.tolist()]
    last = torch.stack([units[row] for row, units in enumerate(last)])
    torch.testing.assert_close(
        last @ last.mT, exact.covariance_matrix.expand(20, 2, 2), rtol=0.05, atol=0
    )
    z = population.particles.z.flatten(0, 1)
    assert (z.mean(0) - exact.mean[0]).abs().max() < 0.1
    closer, _ = pilot(path, moves, 64, noise, threshold=0.95, **options)
    assert (closer.lengths > schedule.lengths).all()


def test_pilot_that_ends_without_moves_costs_none_there(gaussian):
    path, *_ = gaussian
    path = path.rows(torch.arange(3))
    moves = moves_of(path.coordinates, 2)
    noise = SentenceNoise([1, 2, 3])
    before = path.target.costs.clone()
    options = {"threshold": 0.5, "passes": 2}
    schedule, _ = pilot(path, moves, 8, noise, moves_at_end=False, **options)
    cost = path.target.costs - before
    assert torch.equal(cost, 8 * 3 * (1 + (schedule.lengths - 1) * 2 * 2))


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_walk_on_the_circle_leaves_the_posterior_where_it_is(beta):
    """4,000 exact draws have the same moments after 10 moves, and have moved."""
    decoder = TinyTextModel(2)
    model = Numbered(SentenceVAE(prior=UniformSphere(2), decoder=decoder)).double()
    loc = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    guide = TableGuide(PowerSpherical, loc, torch.ones(1).double())
    batch = {"tokens": SENTENCES[1:2], "number": torch.zeros(1, dtype=torch.long)}
    posteriors = Posteriors(model, guide, batch, 0)
    target = Target(model, batch, max_tokens=10**6)
    path = DensityPath(
        target, posteriors, PriorComponent(target, posteriors), Coordinates.of(posteriors)
    )
    grid = circle(500)
    shares = (beta * decoder(grid.unsqueeze(1)).log_prob(SENTENCES[1:2]).squeeze(1)).softmax(0)
    generator = torch.Generator().manual_seed(0)
    start = grid[shares.multinomial(4000, replacement=True, generator=generator)]
    (move,) = moves_of(path.coordinates, 1)
    settings = MoveSettings(
        torch.tensor([beta]).double(), torch.tensor([[0.7]]), torch.empty(1, 0, 0)
    )
    noise = SentenceNoise([0])
    particles = path.score({"z": start.unsqueeze(1)})
    for _ in range(10):
        particles, probability = move(path, particles, settings, settings.steps[0], noise)
    z = particles.latents["z"].squeeze(1)
    assert 0.2 < probability.mean() < 0.95
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(4000).double())
    assert (z_score(z, shares @ grid).abs() < 4.5).all()
    assert (z_score(z.square(), shares @ grid.square()).abs() < 4.5).all()
    assert ((z - start).norm(dim=-1) > 0).double().mean() > 0.9


def test_closest_gaussian_is_exact_for_a_gaussian_from_few_points_anywhere():
    """Three dimensions, four points; with one of the dimensions of another scale."""
    generator = torch.Generator().manual_seed(0)
    scale_tril = torch.tensor([[1.0, 0, 0], [0.7, 0.5, 0], [5.0, -3.0, 20.0]]).double()
    normal = dist.MultivariateNormal(torch.tensor([1.0, -2.0, 3.0]).double(), scale_tril=scale_tril)
    z = normal.mean + torch.randn(40, 1, 3, generator=generator).double() * scale_tril.diagonal()
    gradient = -(z - normal.mean) @ normal.precision_matrix
    loc, found = closest_gaussian(z, gradient, torch.zeros(40, 1))
    torch.testing.assert_close(loc[0], normal.mean, rtol=0, atol=0.3)
    torch.testing.assert_close(
        (found @ found.mT)[0], normal.covariance_matrix, rtol=0.05, atol=0.05
    )
    _, diagonal_only = closest_gaussian(z, gradient, torch.zeros(40, 1), full=False)
    assert torch.equal(diagonal_only[0], diagonal_only[0].diagonal().diag())


def test_closest_gaussian_stands_flat_and_single_points():
    """No slope at all, one point alone, and numbers that are none: a scale all the same."""
    z = torch.randn(5, 2, 3)
    for points, gradient in (
        (z, torch.zeros_like(z)),
        (z[:1].expand(5, 2, 3), torch.ones_like(z)),
        (z, torch.full_like(z, math.nan)),
    ):
        loc, scale_tril = closest_gaussian(points, gradient, torch.zeros(5, 2))
        assert loc.isfinite().all()
        assert scale_tril.isfinite().all()
    log_weights = torch.full((5, 2), -math.inf)
    loc, scale_tril = closest_gaussian(z, -z, log_weights)
    assert loc.isfinite().all()
    assert (scale_tril.diagonal(dim1=-2, dim2=-1) > 0).all()
