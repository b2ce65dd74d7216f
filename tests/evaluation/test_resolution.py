# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws and numbers beyond the precision of their type are counted, named and warned of."""

import math
from dataclasses import replace

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.distributions import PowerSpherical, VonMisesFisher
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.resolution import Resolution
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    AutoProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.nn import LSTMDecoder
from pyro_textvae.priors import StandardNormal, UniformSphere
from tests.evaluation.table_pair import Table, table_guide

TOKENS = torch.tensor([[4, 5, 2], [5, 2, 0], [6, 3, 2]])
"""Sentences number 1 to 3 of a table."""
LOC = torch.tensor([1.0, -2.0, 0.5]).repeat(7, 1)


def decoder(latent_dim=3):
    sizes = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 4}
    return LSTMDecoder(**sizes, latent_dim=latent_dim, max_length=8)


def model():
    return SentenceVAE(prior=StandardNormal(3), decoder=decoder()).eval()


def model_of(seed):
    """The same weights each time."""
    torch.manual_seed(seed)
    return model()


def scored(guide, num_samples=20, **settings):
    return log_likelihood(model(), guide, [{"tokens": TOKENS}], num_samples, **settings)


def flow(loc, scale):
    affine = dist.transforms.AffineTransform(loc, scale)
    return dist.TransformedDistribution(dist.Normal(torch.zeros_like(loc), 1.0), [affine])


@pytest.mark.parametrize("family", [dist.Normal, flow], ids=["Normal", "flow"])
@pytest.mark.parametrize("narrow", [1e-8, 1e-20, 1e-37])
def test_a_guide_that_is_a_point_in_float32_has_no_error_and_is_named(family, narrow):
    """One dimension of one sentence is enough; the others keep their numbers."""
    scale = torch.full((7, 3), 0.5)
    scale[2, 1] = narrow
    found = scored(table_guide(LOC, scale, family))
    assert found.unresolved.tolist() == [False, True, False]
    assert found.standard_error.isnan().tolist() == [False, True, False]
    assert found.flagged[1]
    assert math.isnan(found.nll_standard_error)
    assert math.isfinite(found.median_ess)
    assert found.warnings[0].startswith("1 of 3 sentences (index 1): the draws of the latents are")


@pytest.mark.parametrize(
    "proposal", [WidenedProposal(), AdaptiveProposal(), RefinedProposal(steps=1, prior_share=0.0)]
)
def test_other_proposals_do_not_hide_it(proposal):
    found = scored(table_guide(LOC, 1e-20), proposal=proposal)
    assert not (found.standard_error == 0).any()
    assert found.unresolved.all()


@pytest.mark.parametrize("proposal", [RefinedProposal(), AutoProposal()], ids=lambda one: one.name)
def test_a_share_of_the_prior_gives_the_right_number_all_the_same(proposal):
    """Its draws can be told apart, and alone have a weight; against 20,000 draws of the prior."""
    prior = log_likelihood(
        model_of(0), table_guide(torch.zeros(7, 3), 1.0), [{"tokens": TOKENS}], 20_000
    )
    found = log_likelihood(
        model_of(0), table_guide(LOC, 1e-20), [{"tokens": TOKENS}], 400, proposal=proposal
    )
    assert ((found.log_px - prior.log_px).abs() < 4.5 * found.standard_error + 0.01).all()
    assert (found.standard_error > 0).all()


@pytest.mark.parametrize("scale", [1e-4, 0.5])
def test_a_narrow_guide_that_float32_can_hold_keeps_its_error(scale):
    found = scored(table_guide(LOC, scale))
    assert not found.unresolved.any()
    assert found.standard_error.isfinite().all()
    # A single draw has no error to begin with.
    assert not scored(table_guide(LOC, 1e-20), 1).unresolved.any()


@pytest.mark.parametrize("family", [VonMisesFisher, PowerSpherical])
@pytest.mark.parametrize(("concentration", "lost"), [(1e6, False), (1e18, True), (1e30, True)])
def test_a_concentration_beyond_the_type_is_a_point_too(family, concentration, lost):
    loc = torch.nn.functional.normalize(LOC, dim=-1)
    guide = Table(lambda rows: family(loc[rows], torch.full((len(rows),), concentration)))
    sphere = SentenceVAE(prior=UniformSphere(3), decoder=decoder()).eval()
    found = log_likelihood(sphere, guide, [{"tokens": TOKENS}], 20)
    assert found.unresolved.tolist() == [lost] * 3


def test_a_coordinate_along_the_axis_of_a_sphere_is_not_held_against_the_others():
    axis = torch.tensor([1.0, 0.0, 0.0]).repeat(2, 1)
    fn = VonMisesFisher(axis, torch.tensor([1e9, 1e12]))
    resolution = Resolution({"z": fn}, 2)
    resolution.look({"z": fn.sample((20,))})
    assert not resolution.lost.any()


def test_labels_may_all_be_one():
    """Draws of a discrete latent tell nothing of the precision, in whatever type they are."""
    for fn in (dist.Categorical(torch.ones(2, 3)), dist.OneHotCategorical(torch.ones(2, 3))):
        resolution = Resolution({"y": fn}, 2)
        resolution.look({"y": fn.sample().expand(20, *fn.sample().shape)})
        assert not resolution.lost.any()


def test_a_mixture_with_a_dead_component_has_the_right_number():
    """Draws at the dead component's point weigh nothing: two thirds of the draws do the work."""
    loc = torch.stack([LOC, 0 * LOC, 0 * LOC], 1)

    def posterior(rows, narrow):
        scale = torch.tensor([narrow, 0.9, 1.1])[:, None].expand(3, 3)
        components = dist.Normal(loc[rows], scale).to_event(1)
        return dist.MixtureSameFamily(dist.Categorical(torch.ones(len(rows), 3)), components)

    torch.manual_seed(0)
    program = model()
    batch = [{"tokens": TOKENS}]
    dead = log_likelihood(program, Table(lambda rows: posterior(rows, 1e-20)), batch, 3000)
    alive = log_likelihood(program, table_guide(0 * LOC, 1.0), batch, 3000)
    error = torch.hypot(dead.standard_error, alive.standard_error)
    assert ((dead.log_px - alive.log_px).abs() < 4.5 * error).all()
    assert (dead.standard_error > 0).all()


def test_scores_that_are_not_finite_are_counted_and_named():
    good = scored(table_guide(LOC, 0.5))
    first, second, third = torch.eye(3, dtype=torch.bool)
    log_px = good.log_px.masked_fill(first, -math.inf).masked_fill(third, math.nan)
    found = replace(good, log_px=log_px)
    assert found.warnings[0] == (
        "2 of 3 sentences (index 0, 2): no finite log-likelihood, so the nll is not finite"
    )
    bound = replace(good, kl=good.kl.masked_fill(second, math.inf))
    assert bound.warnings[0].endswith("(index 1): no finite bound, so the elbo is not finite")
    unknown = replace(good, standard_error=good.standard_error.masked_fill(second, math.inf))
    assert "(index 1): no finite standard error, so the error" in unknown.warnings[0]


def test_a_model_without_latents_is_not_excused():
    program = LanguageModel(decoder=decoder(latent_dim=0)).eval()
    with torch.no_grad():
        next(program.parameters()).fill_(math.nan)
    with pytest.warns(UserWarning, match="NaN"):
        found = log_likelihood(program, EmptyGuide(), [{"tokens": TOKENS}], 1)
    assert found.warnings == [
        "3 of 3 sentences (index 0, 1, 2): no finite log-likelihood, so the nll is not finite",
        "3 of 3 sentences (index 0, 1, 2): no finite bound, so the elbo is not finite",
    ]
