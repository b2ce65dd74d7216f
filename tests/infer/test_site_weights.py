# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The weight of a single site, against the terms written out by hand."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from pyro_textvae import zoo
from pyro_textvae.errors import UserError
from pyro_textvae.infer import BetaELBO, FreeBits, SemiAmortisedELBO

from .exact import ChainGuide, ChainModel, gauss_hermite


def labelled_model(x):
    """Two latents that do not depend on each other, and two observed sites."""
    with pyro.plate("data", len(x)):
        z_1 = pyro.sample("z_1", dist.Normal(0.0, 1.0))
        z_2 = pyro.sample("z_2", dist.Normal(0.0, 2.0))
        pyro.sample("y", dist.Normal(z_1, 1.0), obs=x.sign())
        pyro.sample("x", dist.Normal(z_1 + z_2, 1.0), obs=x)


def labelled_guide(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z_1", dist.Normal(0.3 * x, 0.8))
        pyro.sample("z_2", dist.Normal(0.5 * x, 1.5))


X = torch.tensor([0.7, -1.2], dtype=torch.float64)
WEIGHTS = {"z_1": 0.5, "y": 3.0, "x": 0.25}


def by_hand(beta):
    """E log p is quadratic in the latents, so a mean and a variance have it exactly."""
    kl = [
        kl_divergence(Normal(0.3 * X, 0.8), Normal(0.0, 1.0)),
        kl_divergence(Normal(0.5 * X, 1.5), Normal(0.0, 2.0)),
    ]

    def expected(value, mean, variance):
        return -0.5 * (math.log(2 * math.pi) + (value - mean) ** 2 + variance)

    y = expected(X.sign(), 0.3 * X, 0.64)
    x = expected(X, 0.8 * X, 0.64 + 2.25)
    return 3.0 * y + 0.25 * x - beta * (0.5 * kl[0] + kl[1])


@pytest.mark.parametrize("vectorised", [True, False])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_bound_is_the_weighted_sum_of_its_sites(beta, vectorised):
    count = 40_000 if vectorised else 50
    objective = BetaELBO(beta, count, vectorize_particles=vectorised, site_weights=WEIGHTS)
    pyro.set_rng_seed(1)
    terms = objective.terms(labelled_model, labelled_guide, X)
    draws = 3 * terms.observed["y"] + 0.25 * terms.observed["x"]
    error = draws.std(0) / math.sqrt(count)
    assert ((objective.bound(terms) - by_hand(beta)).abs() < 4.5 * error).all()
    pyro.set_rng_seed(1)
    loss = objective.differentiable_loss(labelled_model, labelled_guide, X)
    torch.testing.assert_close(loss, -objective.bound(terms).sum())


def test_weights_of_one_change_nothing_but_rounding():
    plain, weighted = BetaELBO(0.7, 3), BetaELBO(0.7, 3, site_weights={"z_1": 1.0, "x": 1})
    losses = []
    for objective in (plain, weighted):
        pyro.set_rng_seed(2)
        losses.append(objective.loss(labelled_model, labelled_guide, X))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_gradient_of_a_chain_is_the_weighted_sums():
    """A conditional KL, averaged over the draw of the latent before it."""
    x = torch.full((2,), 1.3).double()
    model, guide = ChainModel(2, 2), ChainGuide(2, 2)
    objective = BetaELBO(0.6, 2, site_weights={"z_2": 0.5})
    pyro.set_rng_seed(4)
    objective(model, guide)(x).backward()
    found = [p.grad.clone() for p in (*model.parameters(), *guide.parameters())]
    pyro.set_rng_seed(4)
    terms = BetaELBO(1.0, 2).terms(model, guide, x)
    total = terms.log_likelihood - 0.6 * terms.kl["z_1"] - 0.3 * terms.kl["z_2"]
    expected = torch.autograd.grad(-total.mean(0).sum(), [*model.parameters(), *guide.parameters()])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_above_one_bound_the_likelihood_from_below():
    """log p(x) by quadrature; with weights below 1 the number may lie above it."""
    nodes, weights = gauss_hermite(60, 2)
    z_1, z_2 = nodes[:, 0], 2.0 * nodes[:, 1]
    joint = Normal(z_1, 1.0).log_prob(X.sign()[:, None]) + Normal(z_1 + z_2, 1.0).log_prob(
        X[:, None]
    )
    log_px = (joint + weights.log()).logsumexp(1)
    for site_weights, is_bound in (({"z_1": 1.5, "x": 1.2}, True), ({"z_2": 0.0, "x": 0.1}, False)):
        pyro.set_rng_seed(3)
        objective = BetaELBO(1.0, 2000, site_weights=site_weights)
        bound = objective.bound(objective.terms(labelled_model, labelled_guide, X))
        assert (bound < log_px).all() == is_bound


def test_refinement_climbs_the_weighted_bound():
    """With no KL on z_1 its posterior goes to where the text is likeliest, and no further back."""

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z_1", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.squeeze(-1), 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z_1", dist.Normal(torch.zeros(len(x), 1).double(), 1.0).to_event(1))

    means = []
    for weight in (1.0, 0.0):
        pyro.set_rng_seed(5)
        objective = SemiAmortisedELBO(
            num_particles=200, num_steps=30, step_size=0.3, site_weights={"z_1": weight}
        )
        (site,) = objective.terms(model, guide, torch.tensor([2.0]).double()).passes[0]
        means.append(site.posterior.mean[0].item())
    assert means == pytest.approx([1.0, 2.0], abs=0.1)


def test_unknown_site_is_named_with_the_nearest():
    objective = BetaELBO(site_weights={"z1": 0.5})
    message = "names 'z1', and the model's sites are z_1, z_2, y, x; did you mean 'z_1'"
    with pytest.raises(UserError, match=message):
        objective.differentiable_loss(labelled_model, labelled_guide, X)
    with pytest.raises(UserError, match=message):
        objective.loss(labelled_model, labelled_guide, X)


@pytest.mark.parametrize("weight", [-0.5, math.nan, math.inf, "1", None, True])
def test_weight_must_be_a_number_that_weighs(weight):
    with pytest.raises(ValueError, match="weight of site 'z' must be finite and not negative, got"):
        BetaELBO(site_weights={"z": weight})


def test_weight_of_a_latent_and_a_constraint_are_refused():
    objective = BetaELBO(constraint=FreeBits(1.0), site_weights={"z_1": 0.5})
    with pytest.raises(UserError, match="weighs the KL of 'z_1', in whose place FreeBits puts"):
        objective.differentiable_loss(labelled_model, labelled_guide, X)
    beside = BetaELBO(constraint=FreeBits(1.0), site_weights={"y": 0.5})
    assert math.isfinite(beside.loss(labelled_model, labelled_guide, X))


def test_only_sums_over_sites_take_weights():
    taking = {
        name
        for name in zoo.names("objectives")
        if "site_weights" in zoo.parameters(zoo.load("objectives", name))
    }
    assert taking == {"beta_elbo", "semi_amortised_elbo"}
