# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Normal

from pyro_textvae.infer import BetaELBO, DReG, MutualInformation, WakeSleep


def model(rows):
    """Standard normal latents of the size of the posteriors; the text does not matter here."""
    with pyro.plate("data", len(rows)):
        prior = dist.Normal(torch.zeros(rows.shape[-1] // 2).to(rows), 1.0).to_event(1)
        z = pyro.sample("z", prior)
        pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=rows[:, 0])


def guide(rows):
    """Posteriors given outright: loc and scale, (N, D) each, side by side."""
    with pyro.plate("data", len(rows)):
        loc, scale = rows.chunk(2, -1)
        pyro.sample("z", dist.Normal(loc, scale).to_event(1))


def terms_of(rows, **options):
    return BetaELBO(**options).terms(model, guide, rows)


def information(constraint, terms):
    """The estimate for each sentence, in nats."""
    return (terms.total_kl.mean(0) - constraint(terms)) / constraint.weight


def posteriors(count, dimensions=2, spread=1.0):
    loc = spread * torch.randn(count, dimensions, dtype=torch.float64)
    scale = 0.3 + torch.rand(count, dimensions, dtype=torch.float64)
    return torch.cat([loc, scale], -1)


def after(constraint, *batches):
    """The constraint once it has been trained on these batches."""
    for rows in batches:
        terms = terms_of(rows)
        constraint(terms)
        constraint.advance(terms.detached())
    return constraint


def by_hand(draws, rows, components):
    """log q(z_n | x_n) - log of the mean density of all components, for draws (N, D)."""
    own = Normal(*rows.chunk(2, -1)).log_prob(draws).sum(-1)
    all_pairs = Normal(*components.chunk(2, -1)).log_prob(draws.unsqueeze(1)).sum(-1)
    return own - all_pairs.exp().mean(1).log()


@pytest.mark.parametrize(("num_particles", "vectorised"), [(1, True), (3, True), (3, False)])
def test_value_is_that_of_the_formula(num_particles, vectorised):
    first, second, rows = posteriors(5), posteriors(3), posteriors(4)
    constraint = after(MutualInformation(0.6), first, second)
    terms = terms_of(rows, num_particles=num_particles, vectorize_particles=vectorised)
    draws = torch.cat([sites[0].draw.reshape(-1, 4, 2) for sites in terms.passes])
    assert len(draws) == num_particles
    components = torch.cat([first, second, rows])
    expected = torch.stack([by_hand(z, rows, components) for z in draws]).mean(0)
    found = constraint(terms)
    torch.testing.assert_close(found, terms.total_kl[0] - 0.6 * expected, rtol=1e-10, atol=1e-12)


def test_the_memory_lifts_the_ceiling_of_the_batch():
    """Posteriors far apart tell the sentence for certain: ln of their number, to rounding."""
    far = posteriors(8, spread=1e2)
    constraint = MutualInformation(1.0)
    for start in range(0, 8, 2):
        rows = far[start : start + 2]
        found = information(constraint, terms_of(rows))
        exact = torch.full((2,), math.log(start + 2), dtype=torch.float64)
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=0)
        after(constraint, rows)
    assert constraint.describe() == pytest.approx({"mutual_information": math.log(8)})


def test_gradient_is_that_of_the_information_of_the_whole_corpus():
    """A batch of two with four more in the memory, against quadrature over all six.

    The batch's mean has 6/2 of the gradient of the corpus's mean in these two posteriors. 200
    gradients of 50 draws each; |z| < 4.5 for each of four numbers.
    """
    corpus = posteriors(6, dimensions=1)
    constraint = after(MutualInformation(1.0), corpus[2:])
    batch = corpus[:2].clone().requires_grad_()

    points = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    density = Normal(*torch.cat([batch, corpus[2:]]).chunk(2, -1)).log_prob(points)  # (6, points)
    aggregate = density.exp().mean(0)
    exact = (density.exp() * (density - aggregate.log())).sum(-1).mean() * (points[1] - points[0])
    (truth,) = torch.autograd.grad(exact, batch)

    found = []
    for _ in range(200):
        estimate = information(constraint, terms_of(batch, num_particles=50)).mean()
        found.append(torch.autograd.grad(estimate, batch, retain_graph=True)[0] * 2 / 6)
    gradients = torch.stack(found)
    error = gradients.std(0) / math.sqrt(len(found))
    assert ((gradients.mean(0) - truth).abs() / error < 4.5).all()
    assert (truth.abs() > 10 * error).any()


@pytest.mark.parametrize("objective", [BetaELBO, DReG])
def test_gradient_goes_through_the_draws_of_any_objective(pair, tokens, objective):
    """Difference of two gradients at one seed, against the formula with parameters held fixed."""
    text_model, text_guide = pair
    parameters = list(text_guide.parameters())
    gradients = []
    for constraint in (MutualInformation(0.6), None):
        pyro.set_rng_seed(3)
        joined = objective(num_particles=2, constraint=constraint)
        loss = joined.differentiable_loss(text_model, text_guide, tokens=tokens)
        gradients.append(torch.autograd.grad(loss, parameters))
    pyro.set_rng_seed(3)
    features = text_guide.encoder(tokens)
    loc, scale = text_guide.loc(features), (0.5 * text_guide.log_variance(features)).exp()
    draws = dist.Normal(loc, scale).expand([2, 4, 2]).rsample()
    fixed = torch.cat([loc, scale], -1).detach()
    estimate = torch.stack([by_hand(z, fixed, fixed) for z in draws]).mean(0)
    expected = torch.autograd.grad(-0.6 * estimate.sum(), parameters)
    assert max(g.abs().max() for g in expected) > 1e-2
    for one, other, truth in zip(*gradients, expected, strict=True):
        torch.testing.assert_close(one - other, truth, rtol=1e-7, atol=1e-9)


def test_float32_posteriors_are_compared_in_float64():
    """Two clusters 600 scales apart: products of float32 would be wrong by up to 0.1 nats.

    What is left is that the KL, of about 70 nats in float32, is added and taken off again: a few
    times its spacing of 8e-6.
    """
    loc = 0.01 * torch.randn(64, 8) + torch.tensor([-3.0, 3.0]).repeat(32).unsqueeze(-1)
    rows = torch.cat([loc, torch.full_like(loc, 0.01)], -1)
    constraint = MutualInformation(1.0)
    terms = terms_of(rows)
    assert terms.total_kl.dtype == torch.float32
    draws = terms.passes[0][0].draw.double()
    expected = by_hand(draws, rows.double(), rows.double())
    found = information(constraint, terms).double()
    assert found.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


def test_the_memory_moves_on_with_a_training_step_alone():
    batches = [posteriors(3), posteriors(3), posteriors(3)]
    constraint = MutualInformation(1.0, memory=5)
    terms = terms_of(batches[0])
    before = constraint(terms)
    assert torch.equal(constraint(terms), before)  # calls add nothing
    with torch.no_grad():
        constraint(terms_of(batches[2]))  # nor does a validation loss
    constraint.advance(terms.detached())
    constraint.advance(terms.detached())  # nor does a step without a call
    after(constraint, *batches[1:])
    loc, scale = constraint.state_dict()["remembered"]
    newest = torch.cat(batches)[-5:]
    assert torch.equal(torch.cat([loc, scale], -1), newest)
    resumed = MutualInformation(1.0, memory=5)
    resumed.load_state_dict(constraint.state_dict())
    assert torch.equal(resumed(terms), constraint(terms))
    assert not torch.equal(resumed(terms), before)
    assert len(after(MutualInformation(1.0, memory=0), *batches).state_dict()["remembered"][0]) == 0


def test_it_refuses_other_guides_than_one_diagonal_gaussian(pair, tokens):
    def full(rows):
        with pyro.plate("data", len(rows)):
            covariance = torch.eye(2).double().expand(len(rows), 2, 2)
            pyro.sample("z", dist.MultivariateNormal(torch.zeros(2).double(), covariance))

    def two_sites(rows):
        with pyro.plate("data", len(rows)):
            for name in ("z_1", "z_2"):
                pyro.sample(name, dist.Normal(torch.zeros(len(rows)).double(), 1.0))

    rows, constraint = posteriors(3), MutualInformation(1.0)
    with pytest.raises(
        ValueError, match="of site 'z' is MultivariateNormal of event shape .2,.: take"
    ):
        constraint(BetaELBO().terms(model, full, rows))
    with pytest.raises(ValueError, match="needs one latent site, got 'z_1', 'z_2'"):
        constraint(BetaELBO().terms(two_sites, two_sites, rows))
    with pytest.raises(ValueError, match="joined to WakeSleep would have no gradient"):
        WakeSleep(2, constraint=constraint).differentiable_loss(*pair, tokens=tokens)
