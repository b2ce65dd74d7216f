# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Gradients where latents depend on each other, in the model and in the guide.

Expectations over two particles' noise by Gauss-Hermite quadrature: no sampling, so that a bias
cannot hide in noise. The plain gradient's is exact, for it is the bound's own derivative; a doubly
reparameterised one converges to the same with more nodes.
"""

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.infer import (
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    VIMCO,
    BetaELBO,
    DReG,
    RenyiIWAE,
    ThermodynamicELBO,
    WakeSleep,
)
from tests.infer.exact import (
    ChainGuide,
    ChainModel,
    ScoredNormal,
    X,
    exact_gradient,
    expected_gradient,
    gauss_hermite,
    gradient_samples,
    gradients,
    mean_of_importance_bound,
    thermodynamic_bound,
    z_scores,
)

# Latents, order of the guide, nodes a dimension, and the error that these leave: measured 3e-7 for
# 10 and 1e-3 for 6 nodes. The biased forms below are off by many times as much.
CHAINS = {
    "two latents": (2, False, 10, 1e-5),
    "two latents backwards": (2, True, 10, 1e-5),
    "three latents": (3, False, 6, 4e-3),
    "three latents backwards": (3, True, 6, 4e-3),
}
PAIRS = {
    "DReG": (DReG(2), IWAE(2)),
    "PIWAE of one group": (PIWAE(2, 1), IWAE(2)),
    "VR": (RenyiIWAE(2, 0.4, doubly_reparameterised=True), RenyiIWAE(2, 0.4)),
    "looped DReG": (DReG(2, vectorize_particles=False), IWAE(2)),
}


def expected(objective, chain):
    num_latents, backwards, points, _ = CHAINS[chain]
    if objective.vectorize_particles:
        return expected_gradient(objective, num_latents, points=points, backwards=backwards)
    nodes, weights = gauss_hermite(points, num_latents * objective.num_particles)
    noise = nodes.T.reshape(num_latents, objective.num_particles, -1)
    rows = [iter(of_latent) for of_latent in noise]
    return (
        gradient_samples(objective, len(weights), num_latents, noise=rows, backwards=backwards)
        @ weights
    )


def rows_of_guide(chain):
    num_latents = CHAINS[chain][0]
    return 2 * num_latents + num_latents * (num_latents - 1) // 2


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("name", PAIRS)
def test_gradient_of_dependent_latents_is_the_plain_one_in_the_mean(name, chain):
    estimator, plain = PAIRS[name]
    torch.testing.assert_close(
        expected(estimator, chain), expected(plain, chain), rtol=0, atol=CHAINS[chain][3]
    )


@pytest.mark.parametrize("chain", CHAINS)
def test_path_derivative_of_one_particle_is_unbiased(chain):
    torch.testing.assert_close(expected(STL(1), chain), expected(IWAE(1), chain))


@pytest.mark.parametrize("chain", CHAINS)
def test_plain_gradient_is_the_derivative_of_the_bound(chain):
    num_latents, backwards, points, _ = CHAINS[chain]
    _, exact = exact_gradient(
        mean_of_importance_bound, num_latents, num_particles=2, points=points, backwards=backwards
    )
    torch.testing.assert_close(expected(IWAE(2), chain), exact)


@pytest.mark.parametrize("chain", CHAINS)
def test_closed_form_kl_has_the_gradient_of_the_evidence_lower_bound(chain):
    torch.testing.assert_close(expected(BetaELBO(), chain), expected(IWAE(1), chain))


@pytest.mark.parametrize("chain", CHAINS)
def test_partially_importance_weighted_gradient_is_of_two_bounds(chain):
    rows = rows_of_guide(chain)
    found = expected(PIWAE(2, 2), chain)
    torch.testing.assert_close(found[:rows], expected(MIWAE(2, 2), chain)[:rows])
    torch.testing.assert_close(found[rows:], expected(IWAE(2), chain)[rows:])


class CompoundingHooks(STL):
    """DReG with its hooks where the guide goes on from a draw: later draws' weights pile up."""

    def surrogate(self, terms):
        weights = terms.log_weights.detach().softmax(0)
        for site in terms.passes[0]:
            site.draw.register_hook(lambda gradient: weights * gradient)
        return super().surrogate(terms)


class GuideParametersHeld(DReG):
    """DReG that forgets that log q of a later latent depends on the draw of an earlier one."""

    def surrogate(self, terms):
        weights = terms.log_weights.detach().softmax(0)
        total = (weights * terms.log_guide).sum()
        leaves = [site.node["value"] for site in terms.passes[0]]
        surrogate = (weights * terms.log_joint).sum(0)
        for site, gradient in zip(
            terms.passes[0], torch.autograd.grad(total, leaves, retain_graph=True), strict=True
        ):
            site.seen_by_model.register_hook(lambda gradient: weights * gradient)
            surrogate = surrogate - (site.seen_by_model * gradient).sum(0)
        return surrogate


@pytest.mark.parametrize("wrong", [CompoundingHooks, GuideParametersHeld])
@pytest.mark.parametrize("chain", CHAINS)
def test_forms_for_one_latent_are_biased_for_several(wrong, chain):
    exact = expected(IWAE(2), chain)
    assert (expected(wrong(2), chain) - exact).abs().max() > 6 * CHAINS[chain][3]


@pytest.mark.parametrize("wrong", [CompoundingHooks, GuideParametersHeld])
def test_forms_for_one_latent_are_right_for_one(wrong):
    torch.testing.assert_close(
        expected_gradient(wrong(2), points=40), expected_gradient(DReG(2), points=40)
    )


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_thermodynamic_gradient_of_two_latents(backwards):
    """Self-normalised; 1024 particles leave a bias well below the error of 500 gradients."""
    betas = (0.0, 0.1, 0.4)
    _, exact = exact_gradient(
        thermodynamic_bound(betas), 2, num_particles=1, points=40, backwards=backwards
    )
    samples = gradient_samples(ThermodynamicELBO(1024, betas), 500, 2, backwards=backwards)
    assert (z_scores(samples, exact) < 4.5).all()


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_wake_gradient_of_the_guide_of_two_latents(backwards):
    """sum_k W_k d log q(z_k), with log q of given draws by hand."""
    nodes, weights = gauss_hermite(12, 4)
    size = len(weights)
    noise = nodes.T.reshape(2, 2, size)
    x = torch.full((size,), X).double()
    model, guide = ChainModel(size, 2), ChainGuide(size, 2, backwards=backwards, noise=noise)
    found = gradients(WakeSleep(2), model, guide, x)

    drawn, log_guide, log_joint = [], 0.0, 0.0
    for j in guide.order:
        loc, scale = guide.posterior(j, drawn)
        drawn.append((loc + scale * noise[j]).detach())
        loc, scale = guide.posterior(j, drawn[:-1])
        log_guide = log_guide + dist.Normal(loc, scale).log_prob(drawn[-1])
    first, second = drawn[::-1] if backwards else drawn
    log_joint = (
        dist.Normal(0, 1).log_prob(first)
        + dist.Normal(model.slope[0] * first, 1).log_prob(second)
        + dist.Normal(second + model.shift, 1).log_prob(x)
    )
    share = (log_joint - log_guide).detach().softmax(0)
    parameters = [*guide.parameters(), *model.parameters()]
    by_hand = torch.autograd.grad((share * (log_guide + log_joint)).sum(), parameters)
    by_hand = torch.cat([row.reshape(-1, size) for row in by_hand])
    torch.testing.assert_close(found, by_hand, rtol=1e-9, atol=1e-9)
    # The model's rows are IWAE's.
    exact = expected_gradient(IWAE(2), 2, points=12, backwards=backwards)
    torch.testing.assert_close((found @ weights)[5:], exact[5:])


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_score_function_gradient_of_two_latents_is_unbiased(backwards):
    exact = expected_gradient(IWAE(2), 2, points=14, backwards=backwards)
    samples = gradient_samples(VIMCO(2), 200_000, 2, backwards=backwards, family=ScoredNormal)
    assert (z_scores(samples, exact) < 4.5).all()


def test_reparameterised_latent_after_a_scored_one_is_unbiased():
    """z_1 by scores, then z_2 through its draw, which depends on z_1."""

    class MixedGuide(ChainGuide):
        def distribution(self, j, loc, scale):
            return (ScoredNormal, dist.Normal)[j](loc, scale)

    for backwards in (False, True):
        exact = expected_gradient(IWAE(2), 2, points=14, backwards=backwards)
        size = 200_000
        model, guide = ChainModel(size, 2), MixedGuide(size, 2, backwards=backwards)
        pyro.set_rng_seed(1)
        samples = gradients(VIMCO(2), model, guide, torch.full((size,), X).double())
        assert (z_scores(samples, exact) < 4.5).all()
