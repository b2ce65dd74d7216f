# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A latent of shape (S, D), ``Normal(...).to_event(2)``, against closed forms."""

import pytest
import torch

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.amortisation import amortisation_gap
from pyro_textvae.evaluation.annealing.check import check_with_annealing
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.importance.joint_family import PosteriorFamily
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    AnnealedProposal,
    AutoProposal,
    GuideProposal,
    MixtureProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.evaluation.sentences import single_sentences
from pyro_textvae.generation.ex_post_density import fit_ex_post_density
from tests.evaluation.linear_gaussian_sequence import DIM, LENGTH, SequenceGuide, SequenceModel

PROPOSALS = [
    GuideProposal(),
    WidenedProposal(),
    AdaptiveProposal(),
    RefinedProposal(),
    MixtureProposal(),
    AutoProposal(),
    AnnealedProposal(),
]


@pytest.fixture(scope="module")
def x():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 4, LENGTH, DIM, generator=generator, dtype=torch.float64)
    return noise[0] @ SequenceModel.mixing + 0.5 * noise[1]


@pytest.mark.parametrize("full", [False, True], ids=["diagonal", "full"])
def test_family_is_the_guide_itself_as_one_vector(x, full):
    posteriors = Posteriors(SequenceModel(), SequenceGuide(full=full), {"tokens": x}, 0)
    found = PosteriorFamily.of(posteriors)
    assert found.is_exact
    assert found.family.dim == LENGTH * DIM
    latents, log_q = posteriors.sample(5, 0)
    torch.testing.assert_close(found.family.log_prob(posteriors.vector.joined(latents)), log_q)


@pytest.mark.parametrize("proposal", PROPOSALS, ids=lambda one: one.name)
def test_every_proposal_is_right_and_says_nothing_of_the_guide(x, proposal):
    """|z| < 4.5 for each of four values, and the fitted ones have less error than the guide."""
    count = 64 if proposal.name == "annealed" else 300
    pair = SequenceModel(), SequenceGuide()
    found = log_likelihood(*pair, [{"tokens": x}], count, proposal=proposal)
    assert found.notes == ()
    assert (((found.log_px - SequenceModel().log_px(x)) / found.standard_error).abs() < 4.5).all()
    if proposal.name in ("refined", "mixture", "auto"):
        by_guide = log_likelihood(*pair, [{"tokens": x}], count)
        assert found.standard_error.mean() < 0.7 * by_guide.standard_error.mean()


def test_quasi_random_draws_are_those_of_a_vector(x):
    """The guide widened is not far from the posterior: 256 such draws leave less than 0.1 nats."""
    options = {"proposal": WidenedProposal(factor=1.6), "quasi_random": True}
    found = log_likelihood(SequenceModel(), SequenceGuide(), [{"tokens": x}], 256, **options)
    assert ((found.log_px - SequenceModel().log_px(x)).abs() < 0.1).all()


def test_checks_take_it(x):
    """Both bounds, and the gap of the amortised guide, of a latent of two dimensions."""
    pair, sentences = (SequenceModel(), SequenceGuide()), single_sentences({"tokens": x})
    likelihood = log_likelihood(*pair, [{"tokens": x}], 100, proposal=RefinedProposal())
    checked = check_with_annealing(
        *pair,
        sentences,
        likelihood,
        seed=0,
        max_tokens=4096,
        progress=False,
        settings=AnnealingSettings(num_chains=16, num_temperatures=30, leapfrog_steps=2),
    )
    exact = SequenceModel().log_px(x)[checked.indices]
    assert ((checked.annealed - exact).abs() < 4.5 * checked.annealed_error + 0.05).all()
    gap = amortisation_gap(*pair, sentences, num_draws=64)
    assert (gap.gap > 0).all()


def test_ex_post_density_is_fitted_to_the_sequence_and_drawn_as_one(x):
    many = x.repeat(40, 1, 1)
    batches = [{"tokens": many}]
    found = fit_ex_post_density(
        SequenceModel(), SequenceGuide(), batches, batches, num_components=1
    )
    drawn = found.latents(SequenceModel(), 5)["z"]
    assert drawn.shape == (5, LENGTH, DIM)
    # The mean of q(z | x) over four x, by 160 draws whose scale is below one.
    loc = found.mixture.components.loc.reshape(LENGTH, DIM)
    precision = torch.eye(DIM).double() + 4 * SequenceModel.mixing @ SequenceModel.mixing.T
    expected = (4 * x @ SequenceModel.mixing.T @ precision.inverse() + 0.2).mean(0)
    assert (loc - expected).abs().max() < 4.5 / 160**0.5
