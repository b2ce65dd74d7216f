# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.evaluation.annealing.hamiltonian import HamiltonianTransitions
from pyro_textvae.evaluation.annealing.path import AnnealingPath, AnnealingSettings, temperatures
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.infer.running import evaluation_mode
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.quadrature import log_px_by_quadrature


def guide_posterior(guide, tokens):
    with torch.no_grad():
        features = guide.encoder(tokens)
        scale = (0.5 * guide.log_variance(features)).exp()
        return dist.Normal(guide.loc(features), scale).to_event(1)


def z_score(values, truth):
    """Of the mean of independent values against the truth."""
    return (values.mean() - truth) / (values.std() / math.sqrt(values.numel()))


@pytest.fixture(scope="module")
def from_the_prior():
    """Estimates from the prior by 100 and by 200 temperatures, and the truth, in 4 dimensions."""
    model = LinearGaussian(4)
    with evaluation_mode(model, model, 1):
        _, x = model.simulate(4)
    estimates = {
        count: AnnealingPath(
            Target(model, {"tokens": x}),
            model.prior(4),
            settings=AnnealingSettings(num_chains=64, num_temperatures=count),
        ).forward()
        for count in (100, 200)
    }
    return estimates, model.log_px(x)


def test_annealing_from_the_prior_finds_the_exact_likelihood(from_the_prior):
    """Within 4.5 of its own standard errors, which are small enough for that to mean something."""
    estimates, exact = from_the_prior
    estimate = estimates[200]
    score = (estimate.log_px - exact) / estimate.standard_error
    assert score.abs().max() < 4.5
    assert estimate.standard_error.max() < 0.2


def test_twice_the_temperatures_shrink_the_spread_by_the_root_of_two(from_the_prior):
    """The ratio of two standard deviations of 256 log-weights each has an error of 0.045 here."""
    estimates, _ = from_the_prior
    ratio = estimates[200].spread.square().mean().sqrt() / (
        estimates[100].spread.square().mean().sqrt()
    )
    assert abs(ratio.item() - math.sqrt(0.5)) < 4.5 * 0.045


def test_pilot_run_finds_steps_that_accept_as_wanted(from_the_prior):
    """The target is 0.8; the posterior is four times narrower than the prior, where it began."""
    estimates, _ = from_the_prior
    assert estimates[200].acceptance.min() > 0.7
    assert estimates[200].acceptance.max() < 0.9


def test_standard_error_and_spread_are_those_of_the_log_weights(from_the_prior):
    """The delta method: sd(w) / (mean(w) sqrt(C - 1)), w the weights, by population moments."""
    estimates, _ = from_the_prior
    weights = estimates[100].log_weights.exp()
    assert weights.shape == (64, 4)
    expected = weights.std(0, correction=0) / weights.mean(0) / math.sqrt(63)
    torch.testing.assert_close(estimates[100].standard_error, expected)
    torch.testing.assert_close(estimates[100].log_px, weights.mean(0).log())
    torch.testing.assert_close(estimates[100].spread, weights.log().std(0))


def test_from_the_exact_posterior_every_chain_says_the_same():
    """log p(x, z) - log q(z | x) is then log p(x) whatever z: no tolerance but for rounding."""
    model = LinearGaussian(4)
    z, x = model.simulate(3)
    settings = AnnealingSettings(num_chains=4, num_temperatures=7)
    path = AnnealingPath(Target(model, {"tokens": x}), model.posterior(x), settings=settings)
    exact = model.log_px(x).expand(4, 3)
    torch.testing.assert_close(path.forward().log_weights, exact, rtol=0, atol=1e-10)
    torch.testing.assert_close(path.backward(z).log_weights, exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["diagonal", "full covariance", "transformed"])
def test_weights_are_unbiased_with_few_temperatures_in_both_directions(kind):
    """E exp(log w) = p(x) forward and E exp(-log w) = 1 / p(x) backward, exactly, for any path.

    4,000 chains of one sentence; a transition that does not leave its density invariant, or a step
    size that follows the chains, would show as a bias.
    """
    model = LinearGaussian(2)
    _, x = model.simulate(1)
    x = x.expand(2000, -1)
    exact = model.posterior(x)
    scale = 1.5 * exact.stddev
    loc = exact.mean + 0.5 * scale
    posterior = {
        "diagonal": dist.Normal(loc, scale).to_event(1),
        "full covariance": dist.MultivariateNormal(loc, scale_tril=1.5 * exact.scale_tril),
        "transformed": dist.TransformedDistribution(
            dist.Normal(loc, scale).to_event(1),
            [dist.transforms.AffineTransform(0.1, 1.2, event_dim=1)],
        ),
    }[kind]
    settings = AnnealingSettings(num_chains=2, num_temperatures=4)
    path = AnnealingPath(
        Target(model, {"tokens": x}, max_tokens=10**6), posterior, settings=settings
    )
    log_px = model.log_px(x)
    assert abs(z_score((path.forward().log_weights - log_px).exp(), 1.0)) < 4.5
    # Two chains from one start are dependent; their mean over each start is not.
    upper = path.backward(exact.sample()).log_weights
    assert abs(z_score((log_px - upper).exp().mean(0), 1.0)) < 4.5


def test_transitions_leave_the_posterior_where_it_is():
    """At the last temperature, 4,000 exact draws have the same moments after 20 transitions."""
    model = LinearGaussian(2)
    _, x = model.simulate(1)
    exact = model.posterior(x)
    target = Target(model, {"tokens": x})
    transitions = HamiltonianTransitions(target, model.prior(1), "z", leapfrog_steps=2)
    state = transitions.state(exact.sample((4000,)))
    for _ in range(20):
        state, probability = transitions.move(state, 1.0, torch.tensor([0.35]).double())
    assert 0.5 < probability.mean() < 0.95
    noise = torch.linalg.solve_triangular(
        exact.scale_tril[0], (state.z - exact.mean).squeeze(1).T, upper=False
    )
    for row in noise:
        assert abs(z_score(row, 0.0)) < 4.5
        assert abs(z_score(row.square(), 1.0)) < 4.5
    assert abs(z_score(noise[0] * noise[1], 0.0)) < 4.5


def test_chains_do_not_stand_still_where_a_trajectory_lasts_half_a_period():
    """Four leapfrogs of this size, of one length, send z to -z: its square would never change.

    Under a standard normal a leapfrog turns by the angle of cosine 1 - size^2 / 2. After ten
    transitions a correlation of 4,000 independent pairs is 0 within 4.5 / sqrt(4000).
    """
    model = LinearGaussian(2)
    _, x = model.simulate(1)
    prior = model.prior(1)
    transitions = HamiltonianTransitions(Target(model, {"tokens": x}), prior, "z", leapfrog_steps=4)
    state = transitions.state(prior.sample((4000,)))
    start = state.z[:, 0, 0].square()
    size = torch.tensor([2 - 2 * math.cos(math.pi / 4)]).double().sqrt()
    for _ in range(10):
        state, _ = transitions.move(state, 0.0, size)
    both = torch.stack([start, state.z[:, 0, 0].square()])
    assert abs(both.corrcoef()[0, 1]) < 4.5 / math.sqrt(4000)


def test_steps_are_in_the_units_of_a_full_covariance():
    """Scales of 0.01 and 10 and a correlation of 0.99: all one to the transitions.

    In those units every density here is a standard normal, where three leapfrogs of 0.5 accept
    all but a few.
    """
    model = LinearGaussian(2)
    _, x = model.simulate(1)
    scale_tril = torch.tensor([[[10.0, 0.0], [0.0099, 0.0014]]]).double()
    posterior = dist.MultivariateNormal(torch.ones(1, 2).double(), scale_tril=scale_tril)
    transitions = HamiltonianTransitions(
        Target(model, {"tokens": x}), posterior, "z", leapfrog_steps=3
    )
    state = transitions.state(posterior.sample((1000,)))
    _, probability = transitions.move(state, 0.0, torch.tensor([0.5]).double())
    assert probability.mean() > 0.95


def test_state_of_a_refused_proposal_is_the_old_one():
    """A step that leaves the numbers is refused for its own chain, and the others move."""
    model = LinearGaussian(2)
    _, x = model.simulate(2)
    transitions = HamiltonianTransitions(
        Target(model, {"tokens": x}), model.prior(2), "z", leapfrog_steps=3
    )
    before = transitions.state(model.posterior(x).sample((5,)))
    after, probability = transitions.move(before, 0.5, torch.tensor([1e200, 1e-3]).double())
    assert (probability[:, 0] == 0).all()
    assert torch.equal(after.z[:, 0], before.z[:, 0])
    assert (after.z[:, 1] != before.z[:, 1]).all()
    for carried, fresh in zip(after, transitions.state(after.z), strict=True):
        torch.testing.assert_close(carried, fresh)


def test_text_agrees_with_quadrature(pair, tokens):
    """Every sentence within 4.5 of its own standard errors of a 161 x 161 grid."""
    model, guide = pair
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    path = AnnealingPath(
        Target(model, {"tokens": tokens}, max_tokens=10**6),
        guide_posterior(guide, tokens),
        settings=AnnealingSettings(num_chains=128, num_temperatures=40, leapfrog_steps=2),
    )
    estimate = path.forward()
    assert ((estimate.log_px - exact) / estimate.standard_error).abs().max() < 4.5
    assert estimate.standard_error.max() < 0.05


def test_same_seed_same_numbers_and_generators_left_alone(pair, tokens):
    model, guide = pair
    posterior = guide_posterior(guide, tokens)
    settings = AnnealingSettings(num_chains=2, num_temperatures=3)

    def run(seed):
        return AnnealingPath(
            Target(model, {"tokens": tokens}), posterior, settings=settings, seed=seed
        )

    before = torch.get_rng_state()
    one = run(3).forward().log_weights
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    path = run(3)
    path.backward(torch.zeros(4, 2).double())
    assert torch.equal(path.forward().log_weights, one)
    assert not torch.equal(run(4).forward().log_weights, one)


def test_temperatures_run_from_the_guide_to_the_joint():
    betas = temperatures(10)
    assert len(betas) == 11
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (betas.diff() > 0).all()
    torch.testing.assert_close(betas.flip(0), 1 - betas)
    logits = [math.log(p / (1 - p)) for p in (0.5, 0.5 + (betas[6] - 0.5).item() * math.tanh(2))]
    assert logits[1] - logits[0] == pytest.approx(0.8)  # a tenth of the range from -4 to 4


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (dist.ProjectedNormal(torch.ones(4, 3)), r"'z' has support Sphere.* one latent in R\^D"),
        (dist.Normal(0.0, 1.0).expand([4]), r"event shape \(\).* one latent in R\^D"),
        (dist.Gamma(1.0, 1.0).expand([4, 2]).to_event(1), r"support .*one latent in R\^D"),
        (dist.Poisson(1.0).expand([4, 2]).to_event(1), r"support .*one latent in R\^D"),
        (dist.Normal(0.0, 1.0).expand([2, 4, 2]).to_event(1), r"batch shape \(2, 4\)"),
    ],
)
def test_other_latents_are_refused(pair, tokens, posterior, message):
    model, _ = pair
    with pytest.raises(ValueError, match=message):
        AnnealingPath(Target(model, {"tokens": tokens}), posterior)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("num_chains", 1, 2), ("num_temperatures", 1, 2), ("leapfrog_steps", 0, 1)],
)
def test_too_little_work_is_refused(name, value, least):
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {value}"):
        AnnealingSettings(**{name: value})
