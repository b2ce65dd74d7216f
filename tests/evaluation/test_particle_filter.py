# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Many small populations of particles, whose mean must be p(x) itself."""

import math

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.resampling import systematic_ancestors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.sequential.particle_filter import Populations, run_filter
from pyro_textvae.evaluation.sequential.site_order import steps_in_order
from pyro_textvae.evaluation.sequential.step_plan import StepPlan, why_not
from tests.programs.chains import (
    GaussianChain,
    GaussianChainGuide,
    HiddenMarkovGuide,
    HiddenMarkovModel,
    Plan,
    PlanGuide,
    Whole,
    forward_log_px,
    gaussian_chains,
    kalman_log_px,
)

WORDS = torch.tensor([[4, 7, 7, 6, 5]])
NUMBERS = gaussian_chains(1, 5)
PAIRS = {
    "numbers": (GaussianChain(), GaussianChainGuide(), NUMBERS, kalman_log_px),
    "words": (HiddenMarkovModel(), HiddenMarkovGuide(), WORDS, forward_log_px),
    "plan": (Plan(), PlanGuide(), NUMBERS, Plan().log_px),
    "order": (Whole(GaussianChain()), Whole(GaussianChainGuide()), NUMBERS, kalman_log_px),
    "order of words": (
        Whole(HiddenMarkovModel()),
        Whole(HiddenMarkovGuide()),
        WORDS,
        forward_log_px,
    ),
}


def filtered(name, populations, resample_below, *, keeps_history=False):
    model, guide, tokens, log_px = PAIRS[name]
    batch = {"tokens": tokens}
    posteriors = Posteriors(model, guide, batch, 0)
    target = Target(model, batch, plates=posteriors.plates)
    torch.manual_seed(0)
    plan = StepPlan.of(posteriors)
    pair = plan.programs(target, posteriors, 0, populations.num_particles)
    options = {"resample_below": resample_below, "keeps_history": keeps_history}
    return run_filter(*pair, populations, 0, **options), log_px(tokens).item()


@pytest.mark.parametrize("resample_below", [0.5, 1.0])
@pytest.mark.parametrize("name", PAIRS)
def test_mean_weight_of_a_population_is_unbiased(name, resample_below):
    """1,000 populations of 6: |z| < 4.5, and so is the mean of particles that go by themselves."""
    populations = Populations((6,) * 1000, 2000)
    found, exact = filtered(name, populations, resample_below)
    ratio = (found.log_weights - exact).exp()
    of_populations = torch.stack([ratio[part].mean() for part in populations.parts])
    for values in (of_populations, ratio[populations.free]):
        error = values.std() / math.sqrt(len(values))
        assert error < 0.08
        assert abs(values.mean() - 1) < 4.5 * error


@pytest.mark.parametrize("name", ["numbers", "words", "plan", "order"])
def test_latents_of_a_particle_are_those_that_it_was_scored_by(name):
    """The sum over all steps, and the model's own density of the values by which it came."""
    populations = Populations((40, 40), 8)
    found, _ = filtered(name, populations, 1.0, keeps_history=True)
    steps = found.latents(torch.arange(populations.num_particles))
    # Of those that are never drawn anew the weight is that of all steps.
    at_once = found.log_likelihood + found.log_prior - found.log_guide
    free = populations.free
    torch.testing.assert_close(found.log_weights[free], at_once[free])
    if name == "plan":
        check_plan(steps, found, populations)
        return
    model, guide, tokens, _ = PAIRS[name]
    posteriors = Posteriors(model, guide, {"tokens": tokens}, 0)
    latents = {n: value for step in steps for n, value in step.items()}
    joint = Target(model, {"tokens": tokens}, plates=posteriors.plates)(latents)
    torch.testing.assert_close(joint.log_prior.squeeze(1).double(), found.log_prior)
    torch.testing.assert_close(joint.log_likelihood.squeeze(1).double(), found.log_likelihood)
    log_guide = posteriors.log_prob(latents).squeeze(1)
    torch.testing.assert_close(log_guide.double(), found.log_guide)


def check_plan(steps, found, populations):
    """By hand: the density of all, and the last weight, which has a fifth of that of the whole."""
    normal = torch.distributions.Normal
    z, z_s = steps[0]["z"], torch.stack([step["z_s"] for step in steps[1:]], -1)
    before = torch.cat([torch.zeros_like(z_s[..., :1]), z_s[..., :-1]], -1)
    loc = Plan.kept * before + z.unsqueeze(-1)
    of_steps = normal(loc, 0.5).log_prob(z_s)
    whole = normal(0.0, 1.0).log_prob(z)
    torch.testing.assert_close((whole + of_steps.sum(-1)).squeeze(1), found.log_prior)
    x, precision = NUMBERS[0, -1], 4 + 1
    guide = normal((4 * loc[..., -1] + x) / precision, 1.1 * precision**-0.5)
    last = of_steps[..., -1] + normal(z_s[..., -1], 1.0).log_prob(x) - guide.log_prob(z_s[..., -1])
    last = last + (whole - normal(0.35 * NUMBERS.mean(), 0.3).log_prob(z)) / 5
    for part in populations.parts:
        # What is left is the mean of the weights before, which all of a population have.
        before_last = (found.log_weights - last.squeeze(1))[part]
        torch.testing.assert_close(before_last, before_last.mean().expand_as(before_last))


def test_draws_of_particles_from_one_are_not_the_same():
    """After resampling at every step all values of the last one are different."""
    populations = Populations((200,), 8)
    found, _ = filtered("numbers", populations, 1.0, keeps_history=True)
    last = found.latents(torch.arange(200))[-1]["z_4"].flatten()
    assert len(last.unique()) == 200
    first = found.latents(torch.arange(200))[1]["z_0"].flatten()
    assert 10 < len(first.unique()) < 190


def test_variance_grows_as_the_steps():
    """Eight times as many steps: about eight times the variance, and far more without resampling.

    Of 200 populations of 50 a variance is known to 10 %, where it is small.
    """
    variances = {}
    for length in (6, 48):
        x = gaussian_chains(1, length)
        for resample_below in (0.0, 0.5):
            posteriors = Posteriors(GaussianChain(), GaussianChainGuide(), {"tokens": x}, 0)
            target = Target(GaussianChain(), {"tokens": x}, plates=posteriors.plates)
            populations = Populations((50,) * 200, 8)
            torch.manual_seed(0)
            pair = StepPlan.of(posteriors).programs(
                target, posteriors, 0, populations.num_particles
            )
            found = run_filter(*pair, populations, 0, resample_below=resample_below)
            ratio = (found.log_weights[:10_000] - kalman_log_px(x)).exp().reshape(200, 50).mean(1)
            variances[length, resample_below] = (ratio - 1).square().mean()
    assert 5 < variances[48, 0.5] / variances[6, 0.5] < 13
    assert variances[48, 0.0] > 2 * variances[48, 0.5]


def test_systematic_resampling_keeps_shares():
    """Each particle has its share rounded down or up, and its share in the mean."""
    generator = torch.Generator().manual_seed(0)
    log_weights = torch.randn(10, 1, generator=generator).double().expand(10, 4000)
    offset = torch.rand(1, 4000, generator=generator).double()
    index = systematic_ancestors(log_weights, offset)
    numbers = torch.stack([(index == place).sum(0) for place in range(10)]).double()
    wanted = 10 * log_weights[:, 0].softmax(0)
    assert (
        (numbers >= wanted.floor().unsqueeze(1)) & (numbers <= wanted.ceil().unsqueeze(1))
    ).all()
    # The standard deviation of a number is at most a half.
    assert ((numbers.mean(1) - wanted).abs() < 4.5 * 0.5 / math.sqrt(4000)).all()


def test_order_of_sites_makes_the_steps():
    assert steps_in_order([("x_0", True), ("z_0", False), ("x_1", True), ("z_1", False)]) == (
        ("x_0", "z_0", "x_1", "z_1"),
    )
    one = [("z", False), ("x", True)]
    assert steps_in_order(one) == (("z", "x"),)


class Backwards(torch.nn.Module):
    """The latents of a chain from the last to the first."""

    def forward(self, tokens):
        import pyro

        with pyro.plate("data", len(tokens)):
            for t in reversed(range(tokens.shape[1])):
                pyro.sample(f"z_{t}", pyro.distributions.Normal(tokens[:, t], 1.0))


def test_guide_that_goes_the_other_way_is_told():
    posteriors = Posteriors(Whole(GaussianChain()), Backwards(), {"tokens": NUMBERS}, 0)
    assert StepPlan.of(posteriors) is None
    assert why_not(posteriors) == "the guide draws 'z_4' before 'z_3', and the model after it"


class Layered(GaussianChain):
    """Goes on from two layers, with the particles behind them."""

    def start(self, tokens):
        return super().start(tokens).expand(2, 1)

    def step(self, state, t, tokens):
        z = super().step(state[0], t, tokens)
        return torch.stack([z, z])


def test_state_with_particles_elsewhere_is_refused():
    batch = {"tokens": NUMBERS}
    posteriors = Posteriors(Layered(), GaussianChainGuide(), batch, 0)
    target = Target(Layered(), batch, plates=posteriors.plates)
    populations = Populations((8,), 8)
    pair = StepPlan.of(posteriors).programs(target, posteriors, 0, populations.num_particles)
    with pytest.raises(UserError, match=r"with a tensor of shape \(2, 16, 1\).* at the left"):
        run_filter(*pair, populations, 0, resample_below=1.0)
