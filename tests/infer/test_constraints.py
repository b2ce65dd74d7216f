# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pyro_textvae import zoo
from pyro_textvae.infer import (
    IWAE,
    PIWAE,
    STL,
    BetaELBO,
    DReG,
    FreeBits,
    MaximumMeanDiscrepancy,
    MinimumDesiredRate,
    MutualInformation,
    TargetKL,
    ThermodynamicELBO,
    WakeSleep,
)
from pyro_textvae.testing import check_pair

# Among the KLs of the fixture pair, so that each clamps some of them.
PER_DIMENSION, PER_SITE = 0.2, 0.3


def raised(multiplier, nats, damping):
    constraint = MinimumDesiredRate(nats, damping=damping)
    constraint.load_state_dict({"multiplier": multiplier})
    return constraint


# Each with what it is of the KL (N, D), written out once more; None for those of the draws.
CONSTRAINTS = {
    "per dimension": (
        FreeBits(PER_DIMENSION, per="dimension"),
        lambda kl: kl.clamp(min=PER_DIMENSION).sum(1),
    ),
    "per dimension of the batch mean": (
        FreeBits(PER_DIMENSION, per="dimension", over="batch_mean"),
        lambda kl: kl.mean(0).clamp(min=PER_DIMENSION).sum().expand(len(kl)),
    ),
    "per site": (FreeBits(PER_SITE), lambda kl: kl.sum(1).clamp(min=PER_SITE)),
    "per site of the batch mean": (
        FreeBits(0.4, over="batch_mean"),
        lambda kl: kl.sum(1).mean().clamp(min=0.4).expand(len(kl)),
    ),
    "target below": (
        TargetKL(nats=0.1, weight=2.0),
        lambda kl: (2 * (kl.sum(1).mean() - 0.1)).expand(len(kl)),
    ),
    "target above": (
        TargetKL(nats=9.0, weight=2.0),
        lambda kl: (2 * (9 - kl.sum(1).mean())).expand(len(kl)),
    ),
    "minimum rate": (
        raised(0.4, nats=3.0, damping=0.0),
        lambda kl: kl.sum(1) + 0.4 * (3.0 - kl.sum(1).mean()),
    ),
    "damped minimum rate": (
        raised(0.4, nats=3.0, damping=0.7),
        lambda kl: kl.sum(1) + ((0.4 + 0.7 * (3.0 - kl.sum(1).mean())) ** 2 - 0.16) / 1.4,
    ),
}


@pytest.fixture(params=CONSTRAINTS)
def constraint_and_formula(request):
    return CONSTRAINTS[request.param]


def kl_by_hand(guide, tokens):
    """KL of each sentence and dimension to a standard normal, (N, D)."""
    features = guide.encoder(tokens)
    loc, log_variance = guide.loc(features), guide.log_variance(features)
    return 0.5 * (loc.square() + log_variance.exp() - 1 - log_variance)


def gradient(objective, pair, tokens):
    """Of model and guide, as one vector, at seed 3."""
    model, guide = pair
    parameters = [*model.parameters(), *guide.parameters()]
    pyro.set_rng_seed(3)
    loss = objective.differentiable_loss(model, guide, tokens=tokens)
    return flat(loss, parameters)


def flat(loss, parameters):
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat(
        [
            torch.zeros_like(p).flatten() if g is None else g.flatten()
            for p, g in zip(parameters, found, strict=True)
        ]
    )


def test_the_kls_of_the_fixture_lie_on_both_sides_of_the_free_bits(pair, tokens):
    kl = kl_by_hand(pair[1], tokens)
    assert 0 < (kl < PER_DIMENSION).sum() < kl.numel()
    assert 0 < (kl.mean(0) < PER_DIMENSION).sum() < 2
    assert 0 < (kl.sum(1) < PER_SITE).sum() < len(kl)


@pytest.mark.parametrize(("num_particles", "vectorised"), [(1, True), (3, True), (3, False)])
def test_values_are_those_of_the_formula(
    pair, tokens, constraint_and_formula, num_particles, vectorised
):
    constraint, formula = constraint_and_formula
    objective = BetaELBO(num_particles=num_particles, vectorize_particles=vectorised)
    value = constraint(objective.terms(*pair, tokens=tokens))
    torch.testing.assert_close(value, formula(kl_by_hand(pair[1], tokens)), rtol=1e-10, atol=0)
    assert value.shape == (4,)


def test_a_masked_sentence_counts_with_a_kl_of_zero(pair, tokens, constraint_and_formula):
    constraint, formula = constraint_and_formula
    mask = torch.tensor([True, False, True, True])
    masked = [poutine.mask(program, mask=mask) for program in pair]
    value = constraint(BetaELBO(num_particles=2).terms(*masked, tokens=tokens))
    kl = kl_by_hand(pair[1], tokens) * mask.unsqueeze(1)
    torch.testing.assert_close(value, formula(kl), rtol=1e-10, atol=1e-12)


def test_beta_elbo_charges_the_weighted_constraint_for_the_kl(pair, tokens, constraint_and_formula):
    """Loss and gradient are those of the reconstruction alone plus the hand-written term."""
    constraint, formula = constraint_and_formula
    objective = BetaELBO(0.7, num_particles=3, constraint=constraint)
    reconstruction = gradient(BetaELBO(0.0, num_particles=3), pair, tokens)
    parameters = [p for program in pair for p in program.parameters()]
    by_hand = 0.7 * formula(kl_by_hand(pair[1], tokens)).sum()
    torch.testing.assert_close(
        gradient(objective, pair, tokens),
        reconstruction + flat(by_hand, parameters),
        rtol=1e-9,
        atol=1e-11,
    )
    losses = []
    for each in (objective, BetaELBO(0.0, num_particles=3)):
        pyro.set_rng_seed(3)
        losses.append(each.loss(*pair, tokens=tokens))
    assert losses[0] - losses[1] == pytest.approx(by_hand.item(), rel=1e-9)


@pytest.mark.parametrize("bound", [IWAE, DReG, WakeSleep])
def test_a_constraint_adds_its_difference_to_any_bound(pair, tokens, constraint_and_formula, bound):
    constraint, formula = constraint_and_formula
    joined = gradient(bound(3, constraint=constraint), pair, tokens)
    kl = kl_by_hand(pair[1], tokens)
    parameters = [p for program in pair for p in program.parameters()]
    difference = flat((formula(kl) - kl.sum(1)).sum(), parameters)
    assert difference.abs().max() > 1e-2
    torch.testing.assert_close(
        joined - gradient(bound(3), pair, tokens), difference, rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("name", zoo.names("constraints"))
def test_a_scale_of_both_programs_multiplies_everything(pair, tokens, name):
    constraint = zoo.build(zoo.load("constraints", name), {"nats": 0.7, "weight": 2.0})
    objective = BetaELBO(0.7, num_particles=3, constraint=constraint)
    pyro.set_rng_seed(3)
    loss = objective.loss(*pair, tokens=tokens)
    pyro.set_rng_seed(3)
    scaled = objective.loss(*(poutine.scale(program, 2.5) for program in pair), tokens=tokens)
    assert scaled == pytest.approx(2.5 * loss, rel=1e-12)


@pytest.mark.parametrize("name", zoo.names("constraints"))
def test_every_constraint_trains_and_resumes(pair, tokens, name):
    """Three steps, then one more by the same instance and by one with its state: bit for bit."""

    def fresh():
        built = zoo.build(zoo.load("constraints", name), {"nats": 2.0, "weight": 2.0})
        return BetaELBO(0.7, constraint=built)

    objective = fresh()
    check_pair(*pair, objective, {"tokens": tokens})
    for rows in (tokens[:2], tokens[1:], tokens[2:]):
        objective.differentiable_loss(*pair, tokens=rows)
        objective.advance()
    other = fresh()
    other.load_state_dict(objective.state_dict())
    one, same = (gradient(each, pair, tokens) for each in (objective, other))
    assert one.isfinite().all()
    assert torch.equal(one, same)
    assert objective.describe() == other.describe()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FreeBits(-1.0), "nats must be finite and not negative, got -1.0"),
        (lambda: FreeBits(float("nan")), "nats .* got nan"),
        (lambda: FreeBits(float("inf")), "nats .* got inf"),
        (lambda: FreeBits(1.0, per="word"), "per must be one of site, dimension, got 'word'"),
        (lambda: FreeBits(1.0, over="corpus"), "over must be one of sentence, batch_mean, got 'co"),
        (lambda: TargetKL(-1.0), "nats .* got -1.0"),
        (lambda: TargetKL(1.0, weight=-2.0), "weight .* got -2.0"),
        (lambda: MinimumDesiredRate(-1.0), "nats .* got -1.0"),
        (lambda: MinimumDesiredRate(1.0, learning_rate=-1.0), "learning_rate .* got -1.0"),
        (lambda: MinimumDesiredRate(1.0, damping=-1.0), "damping .* got -1.0"),
        (lambda: MaximumMeanDiscrepancy(10.0, alpha=1.5), "alpha .* at most 1, got 1.5"),
        (lambda: MaximumMeanDiscrepancy(0.5), "weight must be at least 1 - alpha = 1.0, got 0.5"),
        (lambda: MaximumMeanDiscrepancy(10.0, kernel="cubic"), "gaussian, got 'cubic'"),
        (lambda: MaximumMeanDiscrepancy(10.0, bandwidth=0.0), "bandwidth .* positive, got 0.0"),
        (lambda: MutualInformation(-1.0), "weight .* got -1.0"),
        (lambda: MutualInformation(1.0, memory=-1), "memory must be at least 0 .* got -1"),
    ],
)
def test_a_bad_number_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("objective", [DReG, STL, PIWAE, ThermodynamicELBO, WakeSleep])
def test_constraint_on_latents_that_depend_on_each_other_is_refused(objective):
    """Its gradient would have to go through draws that the estimator has cut."""

    class Chain(torch.nn.Module):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                one = pyro.sample("one", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
                two = pyro.sample("two", dist.Normal(one, 1.0).to_event(1))
                if self is model:
                    pyro.sample("x", dist.Normal(two.sum(-1), 1.0), obs=tokens[:, 0].double())

    model, guide = Chain(), Chain()
    loss = objective(num_particles=4, constraint=TargetKL(1.0))(model, guide)
    with pytest.raises(ValueError, match="no right gradient for latents that may depend on each"):
        loss(tokens=torch.ones(3, 2))
    IWAE(num_particles=4, constraint=TargetKL(1.0)).loss(model, guide, tokens=torch.ones(3, 2))
