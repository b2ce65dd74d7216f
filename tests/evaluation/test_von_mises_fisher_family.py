# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.distributions import VonMisesFisher
from pyro_textvae.distributions.sphere import unit_vector
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.amortisation import amortisation_gap
from pyro_textvae.evaluation.families import GaussianFamily, SphericalFamily
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    GuideProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.generation.decoding import posterior_point
from pyro_textvae.guides import VonMisesFisherGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import UniformSphere

SEEDS = [11, 12, 13, 14]
LOC = unit_vector(torch.tensor([[0.5, -1.0, 0.3], [2.0, 0.0, 1.0], [-0.3, 4.0, 0.5], [1, 0, 0]]))
CONCENTRATION = torch.tensor([0.0, 0.5, 8.0, 300.0])


def posterior():
    return VonMisesFisher(unit_vector(LOC.double()), CONCENTRATION.double())


def test_it_is_a_spherical_family_of_its_own_kind():
    assert GaussianFamily.of(posterior()) is None
    family = SphericalFamily.of(posterior())
    assert family.kind is VonMisesFisher
    z = family.sample(5, SEEDS)
    torch.testing.assert_close(family.log_prob(z), posterior().log_prob(z), rtol=0, atol=0)
    wider = VonMisesFisher(posterior().loc, posterior().concentration / 4)
    torch.testing.assert_close(family.widened(2.0).log_prob(z), wider.log_prob(z))


def test_members_around_it_are_finite_at_the_uniform_too():
    family = SphericalFamily.of(posterior())
    parameters, member = family.variational()
    for parameter in parameters:
        parameter.requires_grad_()
    start = member(parameters)
    torch.testing.assert_close(start.loc, family.loc)
    # The uniform has no neighbours by factors: one of 1e-6 stands for it.
    torch.testing.assert_close(start.concentration, family.concentration, rtol=1e-12, atol=2e-6)
    z = start.sample(6, SEEDS)
    for gradient in torch.autograd.grad(
        (z.square() * z).sum() + start.log_prob(z).sum(), parameters
    ):
        assert gradient.isfinite().all()


def test_fit_has_the_mean_of_the_draws():
    """Of draws of the family itself: the mean they have is the mean of the fit."""
    family = SphericalFamily.of(posterior()).rows(torch.tensor([1, 2, 3]))
    z = family.sample(500, SEEDS[1:])
    weights = torch.full((500, 3), 1 / 500, dtype=torch.float64)
    fit = family.fitted(z, weights, 0.0)
    found = VonMisesFisher(fit.loc, fit.concentration).mean
    torch.testing.assert_close(found, z.mean(0), rtol=0, atol=1e-10)


@pytest.fixture
def spherical_pair():
    decoder = LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=6)
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    model = SentenceVAE(prior=UniformSphere(3), decoder=decoder).double()
    guide = VonMisesFisherGuide(encoder=encoder, latent_dim=3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
        guide.concentration.bias.zero_()
    return model.eval(), guide.eval()


def test_every_proposal_estimates_the_same_likelihood(spherical_pair, tokens):
    """Each is unbiased: they agree within 4.5 standard errors of both."""
    batches = [{"tokens": tokens}]
    results = [
        log_likelihood(*spherical_pair, batches, num_samples=2000, seed=0, proposal=proposal)
        for proposal in (GuideProposal(), WidenedProposal(), AdaptiveProposal(), RefinedProposal())
    ]
    for result in results[1:]:
        error = (result.standard_error.square() + results[0].standard_error.square()).sqrt()
        assert ((result.log_px - results[0].log_px).abs() < 4.5 * error).all()
        assert (error < 0.05).all()


def test_its_divergence_is_taken_in_closed_form_and_its_gap_measured(spherical_pair, tokens):
    posteriors = Posteriors(*spherical_pair, {"tokens": tokens}, seed=0)
    assert posteriors.family.kind is VonMisesFisher
    assert posteriors.kl is not None
    gap = amortisation_gap(*spherical_pair, [{"tokens": tokens[:1, :4]}], steps=10)
    assert gap.gap.isfinite().all()


def test_the_point_of_a_posterior_is_its_mean_direction():
    torch.testing.assert_close(posterior_point(posterior())[1:], posterior().loc[1:])
