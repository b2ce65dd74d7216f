# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.samplers import Block
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import RefinedProposal
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import UniformSphere
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.evaluation.replicates import (
    Numbered,
    TableGuide,
    circle,
    diagonal,
    log_px_on_circle,
    posterior_moments,
    replicates,
)
from tests.quadrature import elbo_by_quadrature, log_px_by_quadrature


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize(("steps", "left"), [(15, 0.5), (60, 0.1)])
def test_refinement_raises_the_bound(pair, tokens, steps, left):
    """By quadrature; what is left of the gap to log p(x), for each sentence.

    Each step of Adam goes as far as its rate at most, and that falls linearly: fifteen go 0.8 of
    the guide's scales, where 2.1 are to go.
    """
    decoder = pair[0].decoder
    loc, scale = posterior_moments(decoder, tokens)
    model, guide = Numbered(pair[0]), TableGuide(diagonal, loc + 1.5 * scale, 0.7 * scale)
    batch = replicates(tokens)
    target, posteriors = Target(model, batch), Posteriors(model, guide, batch, 0)
    family = RefinedProposal(steps=steps).refine(target, posteriors, posteriors.family)
    before, after = (
        elbo_by_quadrature(
            decoder,
            tokens,
            one.origin + one.scale_tril * one.loc,
            one.scale_tril * one.log_scale.exp(),
        )
        for one in (posteriors.family, family)
    )
    exact = log_px_by_quadrature(decoder, tokens, 2)
    assert ((exact - after) < left * (exact - before)).all()
    assert family.loc.abs().max() < 1.05 * 0.1 * (steps + 1) / 2


def test_refinement_raises_the_bound_on_the_circle(pair, tokens):
    decoder = pair[0].decoder
    model = Numbered(SentenceVAE(prior=UniformSphere(2).double(), decoder=decoder))
    loc = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, -1.0]], dtype=torch.float64)
    guide = TableGuide(PowerSpherical, loc, torch.full((4,), 5.0).double())
    batch = replicates(tokens)
    target, posteriors = Target(model, batch), Posteriors(model, guide, batch, 0)
    family = RefinedProposal(steps=30).refine(target, posteriors, posteriors.family)
    grid = circle().unsqueeze(1)
    log_joint = decoder(grid).log_prob(tokens) - math.log(2 * math.pi)

    def bound(family):
        log_q = family.log_prob(grid.expand(-1, 4, -1))
        return (log_q.exp() * (log_joint - log_q)).sum(0) * 2 * math.pi / len(grid)

    before, after = bound(posteriors.family), bound(family)
    exact = log_px_on_circle(decoder, tokens)
    assert ((exact - after) < 0.5 * (exact - before)).all()


@pytest.mark.parametrize(
    ("num_samples", "shares"),
    [(50, [40, 5, 5]), (45, [35, 5, 5]), (9, [7, 1, 1]), (2, [1, 1]), (1, [1])],
)
def test_shares_of_the_guide_and_of_the_prior_bound_the_weights(pair, tokens, num_samples, shares):
    """By its inverse, against the guide's own; at least one of two draws and more."""
    model, batch = Numbered(pair[0]), replicates(tokens)
    guide = TableGuide(diagonal, torch.zeros(4, 2).double(), torch.ones(4, 2).double())
    target, posteriors = Target(model, batch), Posteriors(model, guide, batch, 0)
    sampler = RefinedProposal(steps=1, guide_share=0.1).start(target, posteriors, num_samples)
    assert [count for _, count in sampler.components] == shares
    draws = sampler.scored(Block(0, num_samples, num_samples, 0, 0))
    if len(shares) == 2:
        bound = math.log(num_samples / shares[1])
        assert (draws.log_guide - draws.log_proposal).max() <= bound + 1e-12
        assert bound <= math.log(10) + 1e-12


def test_refinement_converges_to_a_posterior_of_its_family():
    """In one dimension the posterior is Gaussian, and there the gradient's noise is zero.

    So it is found to 2e-5 by these steps, on the way to rounding error.
    """
    model = LinearGaussian(1)
    _, x = model.simulate(3)
    exact = model.posterior(x)
    scale = exact.scale_tril.squeeze(-1)

    class Guide(TableGuide):
        def forward(self, tokens, *, size=None):
            return super().forward(tokens, torch.arange(len(tokens)))

    guide = Guide(diagonal, exact.mean + 2 * scale, 0.5 * scale)
    target, posteriors = Target(model, {"tokens": x}), Posteriors(model, guide, {"tokens": x}, 0)
    refined = RefinedProposal(steps=300).refine(target, posteriors, posteriors.family)
    z = exact.mean + scale * torch.linspace(-2, 2, 5).double()[:, None, None]
    torch.testing.assert_close(refined.log_prob(z), exact.log_prob(z), rtol=0, atol=1e-3)
