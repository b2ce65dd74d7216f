# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Annealed importance sampling in both directions, and the Hamiltonian moves of its chains."""

import math

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.evaluation.annealing.moves import HamiltonianMove, MoveSettings
from pyro_textvae.evaluation.annealing.noise import SentenceNoise
from pyro_textvae.evaluation.annealing.path import AnnealedEstimate, AnnealingSettings
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import UniformSphere
from tests.evaluation.annealed_paths import annealing_path, density_path
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.evaluation.replicates import (
    Numbered,
    TableGuide,
    circle,
    diagonal,
    log_px_on_circle,
    posterior_moments,
    replicates,
    z_score,
)
from tests.quadrature import log_px_by_quadrature


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def gaussian_path(model, x, kind, *parameters):
    """Of a linear Gaussian model, from posteriors of this kind."""
    guide = TableGuide(kind, *parameters)
    return density_path(Numbered(model), guide, {"tokens": x, "number": torch.arange(len(x))})


def from_prior(model, x):
    zero = torch.zeros(1, model.weight.shape[1]).double()
    return gaussian_path(model, x, diagonal, zero, zero + 1)


@pytest.fixture(scope="module")
def by_temperatures():
    """Estimates from the prior by 30 and by 60 temperatures, and the truth, in 4 dimensions."""
    model = LinearGaussian(4)
    with evaluation_mode(model, model, 1):
        _, x = model.simulate(4)
        path = from_prior(model, x)
    estimates = {
        count: annealing_path(path, AnnealingSettings(64, count, 2)).forward() for count in (30, 60)
    }
    return estimates, model.log_px(x)


def test_annealing_from_the_prior_finds_the_exact_likelihood(by_temperatures):
    """Within 4.5 of its own standard errors, which are small enough for that to mean something."""
    estimates, exact = by_temperatures
    score = (estimates[60].log_px - exact) / estimates[60].standard_error
    assert score.abs().max() < 4.5
    assert estimates[60].standard_error.max() < 0.2


def test_twice_the_temperatures_shrink_the_spread_by_the_root_of_two(by_temperatures):
    """The ratio of two standard deviations of 256 log-weights each has an error of 0.045 here."""
    estimates, _ = by_temperatures
    ratio = estimates[60].spread.square().mean().sqrt() / (
        estimates[30].spread.square().mean().sqrt()
    )
    assert abs(ratio.item() - math.sqrt(0.5)) < 4.5 * 0.045


def test_moves_are_accepted_about_as_wanted(by_temperatures):
    """The target is 0.8; the posterior is four times narrower than the prior, where it began."""
    estimates, _ = by_temperatures
    assert estimates[60].acceptance.min() > 0.6
    assert estimates[60].acceptance.max() < 0.95


def test_standard_error_and_spread_are_those_of_the_log_weights(by_temperatures):
    """The delta method: sd(w) / (mean(w) sqrt(C - 1)), w the weights, by population moments."""
    estimate = by_temperatures[0][30]
    weights = estimate.log_weights.exp()
    assert weights.shape == (64, 4)
    expected = weights.std(0, correction=0) / weights.mean(0) / math.sqrt(63)
    torch.testing.assert_close(estimate.standard_error, expected)
    torch.testing.assert_close(estimate.log_px, weights.mean(0).log())
    torch.testing.assert_close(estimate.spread, weights.log().std(0))
    assert estimate.latents["z"].shape == (64, 4, 4)


def test_from_the_exact_posterior_every_chain_says_the_same():
    """log p(x, z) - log q(z | x) is then log p(x) whatever z: no tolerance but for rounding."""
    model = LinearGaussian(4)
    z, x = model.simulate(3)
    exact = model.posterior(x)
    base = gaussian_path(
        model,
        x,
        lambda loc, tril: dist.MultivariateNormal(loc, scale_tril=tril),
        exact.mean,
        exact.scale_tril,
    )
    path = annealing_path(base, AnnealingSettings(num_chains=4, num_temperatures=7))
    expected = model.log_px(x).expand(4, 3)
    torch.testing.assert_close(path.forward().log_weights, expected, rtol=0, atol=1e-9)
    back = path.backward({"z": z[None]})
    torch.testing.assert_close(back.log_weights, expected, rtol=0, atol=1e-9)
    assert back.is_upper_bound


def wide_posterior(kind, loc, scale, exact):
    """A posterior that is off, as a table's kind and parameters."""
    if kind == "diagonal":
        return diagonal, loc, scale
    if kind == "full covariance":
        return (
            lambda loc, tril: dist.MultivariateNormal(loc, scale_tril=tril),
            *(loc, 1.5 * exact.scale_tril),
        )
    return (
        lambda loc, scale: dist.TransformedDistribution(
            diagonal(loc, scale), [dist.transforms.AffineTransform(0.1, 1.2, event_dim=1)]
        ),
        *(loc, scale),
    )


@pytest.mark.parametrize("kind", ["diagonal", "full covariance", "transformed"])
def test_weights_are_unbiased_with_few_temperatures_in_both_directions(kind):
    """E exp(log w) = p(x) forward and E exp(-log w) = 1 / p(x) backward, exactly, for any path.

    Chains of one sentence; a move that does not leave its density invariant, or a step size that
    follows the chains, would show as a bias.
    """
    model = LinearGaussian(2)
    _, x = model.simulate(1)
    exact = model.posterior(x)
    scale = 1.5 * exact.stddev
    count = 200 if kind == "transformed" else 1500
    base = gaussian_path(
        model, x.expand(count, -1), *wide_posterior(kind, exact.mean + 0.5 * scale, scale, exact)
    )
    path = annealing_path(base, AnnealingSettings(2, 4, 1))
    log_px = model.log_px(x)
    assert abs(z_score((path.forward().log_weights - log_px).exp().mean(0), 1.0)) < 4.5
    # Two chains from one start are dependent; their mean over each start is not.
    start = {"z": exact.sample((count,)).transpose(0, 1)}
    upper = path.backward(start).log_weights
    assert abs(z_score((log_px - upper).exp().mean(0), 1.0)) < 4.5


@pytest.fixture(scope="module")
def both_directions():
    """From the prior in 4 dimensions and back from an exact draw, by 3 and by 24 temperatures."""
    model = LinearGaussian(4)
    with evaluation_mode(model, model, 2):
        z, x = model.simulate(48)
        path = from_prior(model, x)
    bounds = {}
    for count in (3, 24):
        chains = annealing_path(path, AnnealingSettings(4, count, 1))
        bounds[count] = (chains.forward().log_px, chains.backward({"z": z[None]}).log_px)
    return bounds, model.log_px(x)


def test_bounds_are_on_both_sides_of_the_truth(both_directions):
    """Short annealing is off on both sides, each by more than 3 errors over 48 sentences."""
    bounds, exact = both_directions
    lower, upper = bounds[3]
    for distance in (exact - lower, upper - exact):
        assert z_score(distance, 0.0) > 3
    assert (upper - lower).mean() > 1.0


def test_gap_closes_with_more_temperatures(both_directions):
    """With one over their number, or faster."""
    bounds, _ = both_directions
    gaps = {count: upper - lower for count, (lower, upper) in bounds.items()}
    assert gaps[24].mean() < 0.4 * gaps[3].mean()
    assert z_score(gaps[24], 0.0) > -3


def one_sentence():
    """A linear Gaussian path of one sentence in two dimensions, from the prior."""
    model = LinearGaussian(2)
    _, x = model.simulate(1)
    return model, x, from_prior(model, x)


def moved(path, z, settings, leapfrog_steps, times=1):
    """z after some Hamiltonian moves of one step size, and the last probabilities."""
    particles, noise = path.score({"z": z}), SentenceNoise(list(range(z.shape[1])))
    for _ in range(times):
        move = HamiltonianMove(leapfrog_steps)
        particles, probability = move(path, particles, settings, settings.steps[0], noise)
    return particles, probability


def settings_of(beta, steps, units=None):
    steps = torch.tensor([steps]).double()
    eye = torch.eye(2).double().expand(steps.shape[1], 2, 2)
    beta = torch.full_like(steps[0], beta)
    return MoveSettings(beta, steps, eye if units is None else units)


def test_moves_leave_the_posterior_where_it_is():
    """4,000 exact draws have the same moments after 20 moves."""
    model, x, path = one_sentence()
    exact = model.posterior(x)
    after, probability = moved(path, exact.sample((4000,)), settings_of(1.0, [0.35]), 2, times=20)
    assert 0.5 < probability.mean() < 0.95
    noise = torch.linalg.solve_triangular(
        exact.scale_tril[0], (after.z - exact.mean).squeeze(1).T, upper=False
    )
    for row in noise:
        assert abs(z_score(row, 0.0)) < 4.5
        assert abs(z_score(row.square(), 1.0)) < 4.5
    assert abs(z_score(noise[0] * noise[1], 0.0)) < 4.5


def test_chains_do_not_stand_still_where_a_trajectory_lasts_half_a_period():
    """Four leapfrogs of this size, of one length, send z to -z: its square would never change.

    Under a standard normal a leapfrog turns by the angle of cosine 1 - size^2 / 2. After ten
    moves a correlation of 4,000 independent pairs is 0 within 4.5 / sqrt(4000).
    """
    _, _, path = one_sentence()
    start = torch.randn(4000, 1, 2).double()
    size = math.sqrt(2 - 2 * math.cos(math.pi / 4))
    after, _ = moved(path, start, settings_of(0.0, [size]), 4, times=10)
    both = torch.stack([start[:, 0, 0].square(), after.z[:, 0, 0].square()])
    assert abs(both.corrcoef()[0, 1]) < 4.5 / math.sqrt(4000)


def test_steps_are_in_the_units_of_a_full_covariance():
    """Scales of 0.01 and 10 and a correlation of 0.99: all one to the moves.

    In those units the density is a standard normal, where three leapfrogs of 0.5 accept all but a
    few.
    """
    model = LinearGaussian(2)
    _, x = model.simulate(1)
    scale_tril = torch.tensor([[[10.0, 0.0], [0.0099, 0.0014]]]).double()
    posterior = dist.MultivariateNormal(torch.ones(1, 2).double(), scale_tril=scale_tril)
    path = gaussian_path(
        model,
        x,
        lambda loc, tril: dist.MultivariateNormal(loc, scale_tril=tril),
        posterior.mean,
        scale_tril,
    )
    settings = settings_of(0.0, [0.5], scale_tril)
    _, probability = moved(path, posterior.sample((1000,)), settings, 3)
    assert probability.mean() > 0.95


def test_state_of_a_refused_proposal_is_the_old_one():
    """A step that leaves the numbers is refused for its own chain, and the others move."""
    model = LinearGaussian(2)
    _, x = model.simulate(2)
    path = from_prior(model, x)
    before = model.posterior(x).sample((5,))
    after, probability = moved(path, before, settings_of(0.5, [1e200, 1e-3]), 3)
    assert (probability[:, 0] == 0).all()
    assert torch.equal(after.z[:, 0], before[:, 0])
    assert (after.z[:, 1] != before[:, 1]).all()
    fresh = path.score({"z": after.z})
    for name in ("log_likelihood", "log_prior", "log_start", "joint_gradient", "start_gradient"):
        torch.testing.assert_close(getattr(after, name), getattr(fresh, name))


def test_text_agrees_with_quadrature(pair, tokens):
    """Every sentence within 4.5 of its own standard errors of a 101 x 101 grid."""
    model, guide = pair
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    base = density_path(model, guide, {"tokens": tokens})
    estimate = annealing_path(base, AnnealingSettings(128, 20, 2)).forward()
    assert ((estimate.log_px - exact) / estimate.standard_error).abs().max() < 4.5
    assert estimate.standard_error.max() < 0.05


def test_bounds_on_the_circle_hold_the_truth_between_them(pair, tokens):
    """Of a guide that is turned away, from exact draws on a fine grid of the circle."""
    decoder = pair[0].decoder
    model = Numbered(SentenceVAE(prior=UniformSphere(2).double(), decoder=decoder))
    angles = torch.tensor([0.0, 2.0, 3.0, 5.0]).double()
    loc = torch.stack([angles.cos(), angles.sin()], -1)
    guide = TableGuide(PowerSpherical, loc, torch.full((4,), 2.0).double())
    truth = log_px_on_circle(decoder, tokens)
    path = annealing_path(
        density_path(model, guide, replicates(tokens)), AnnealingSettings(200, 10, 1)
    )
    grid = circle(500)
    shares = decoder(grid.unsqueeze(1)).log_prob(tokens).softmax(0).T
    generator = torch.Generator().manual_seed(0)
    start = grid[shares.multinomial(200, replacement=True, generator=generator)].transpose(0, 1)
    for estimate in (path.forward(), path.backward({"z": start})):
        assert ((estimate.log_px - truth) / estimate.standard_error).abs().max() < 4.5
        assert estimate.standard_error.max() < 0.1


def test_ends_of_chains_are_moved_on_to_draws_of_the_posterior(pair, tokens):
    """Of chains so short that their ends are not: means and squares by quadrature."""
    model, _ = pair
    loc, scale = posterior_moments(model.decoder, tokens)
    guide = TableGuide(diagonal, loc + 2 * scale, 2 * scale)
    batch = replicates(tokens, 40)
    path = annealing_path(density_path(Numbered(model), guide, batch), AnnealingSettings(32, 3, 2))
    forward = path.forward()
    z = path.approximate_posterior(forward)["z"]
    assert z.shape == (32, 160, 2)

    def scores(z, shares):
        """Of replicates' means against the posterior's, whose chains share a resampling."""
        noise = (z.reshape(32, 40, 4, 2) - loc) / scale
        mean = (shares * noise).sum(0)
        second = (shares * noise.square()).sum(0)
        return torch.stack([z_score(mean, 0.0), z_score(second, 1.0)]).abs().max()

    assert scores(z, 1 / 32) < 4.5
    # Before, the ends were off by far more.
    assert scores(forward.latents["z"], 1 / 32) > 8


def test_ends_of_chains_are_drawn_by_their_weights_and_then_moved(pair, tokens, monkeypatch):
    """Of two chains in sixteen, one has three times the weight of the other, and the rest none."""
    path = annealing_path(density_path(*pair, {"tokens": tokens[:1]}), AnnealingSettings(16, 3, 1))
    z = torch.arange(16.0).double().reshape(16, 1, 1).expand(16, 1, 2)
    log_weights = torch.full((16, 1), -math.inf).double()
    log_weights[4], log_weights[9] = math.log(3), 0.0
    forward = AnnealedEstimate(log_weights, torch.ones(1), is_upper_bound=False, latents={"z": z})
    moved = path.approximate_posterior(forward)["z"]
    monkeypatch.setattr("pyro_textvae.evaluation.annealing.path._MOVES_AT_THE_END", 0)
    drawn = path.approximate_posterior(forward)["z"]
    assert (drawn == drawn[..., :1]).all()
    assert set(drawn[:, 0, 0].tolist()) == {4.0, 9.0}
    assert (drawn == 4.0).double().mean() > 0.5
    assert (moved != drawn).all()


def test_same_seed_same_numbers_and_generators_left_alone(pair, tokens):
    base = density_path(*pair, {"tokens": tokens})
    settings = AnnealingSettings(num_chains=2, num_temperatures=3)
    before = torch.get_rng_state()
    one = annealing_path(base, settings, seed=3).forward().log_weights
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    path = annealing_path(base, settings, seed=3)
    path.backward({"z": torch.zeros(1, 4, 2).double()})
    assert torch.equal(path.forward().log_weights, one)
    assert not torch.equal(annealing_path(base, settings, seed=4).forward().log_weights, one)


def test_temperatures_divide_what_lies_between_the_densities_of_the_pilot(by_temperatures):
    model = LinearGaussian(4)
    with evaluation_mode(model, model, 1):
        _, x = model.simulate(3)
    path = annealing_path(from_prior(model, x), AnnealingSettings(2, 2, 1))
    assert (path._lengths > 1).all()
    for row, length in enumerate(path._lengths.tolist()):
        found = [path._at(step / length).beta[row].item() for step in range(length + 1)]
        assert found == pytest.approx(path._betas[: length + 1, row].tolist())
        halfway = path._at(0.5 / length)
        assert halfway.beta[row].item() == pytest.approx(found[1] / 2)
        assert torch.equal(halfway.units[row], path._units[0, row])
        assert torch.equal(path._at(1.0).steps[:, row], path._steps[length - 1, :, row])
    assert torch.equal(path._at(0.0).beta, torch.zeros(3).double())
    assert torch.equal(path._at(1.0).beta, torch.ones(3).double())


def test_progress_is_told_after_every_transition(pair, tokens):
    told = []
    base = density_path(*pair, {"tokens": tokens})
    path = annealing_path(base, AnnealingSettings(2, 5, 1), advance=told.append)
    path.backward(path.approximate_posterior(path.forward()))
    assert told == [4] * 8


def test_upper_bound_is_the_harmonic_mean():
    log_weights = torch.tensor([[0.0, -1.0], [math.log(3), -1.0]]).double()
    found = AnnealedEstimate(log_weights, torch.ones(2), is_upper_bound=True)
    torch.testing.assert_close(found.log_px, torch.tensor([math.log(1.5), -1.0]).double())


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("num_chains", 1, 2), ("num_temperatures", 1, 2), ("leapfrog_steps", 0, 1)],
)
def test_too_little_work_is_refused(name, value, least):
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {value}"):
        AnnealingSettings(**{name: value})
