# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math
from itertools import pairwise

import pytest
import torch

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.posteriors import GuideDraws, Posteriors
from pyro_textvae.evaluation.importance.proposal import ProposalTask
from pyro_textvae.evaluation.importance.running_weights import Scored, boundaries
from pyro_textvae.evaluation.importance.samplers import (
    Block,
    GuideSampler,
    JoinedSampler,
)
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    AnnealedProposal,
    AutoProposal,
    GuideProposal,
    MixtureProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import UniformSphere
from tests.evaluation.replicates import (
    Numbered,
    TableGuide,
    diagonal,
    log_px_on_circle,
    posterior_moments,
    quick_log_px,
    replicates,
    z_score,
)
from tests.quadrature import log_px_by_quadrature

PROPOSALS = {
    "guide": GuideProposal(),
    "widened": WidenedProposal(),
    # The less the guide counts for in the fit, the more a draw that weights itself would show.
    "adaptive": AdaptiveProposal(strength=1.0),
    "refined": RefinedProposal(steps=3, learning_rate=0.3),
    "mixture": MixtureProposal(steps=2, pilot_draws=12, num_components=2),
}


def mixture_of(target, posteriors, components, **options):
    """A sampler of a mixture with the guide in it."""
    count = sum(number for _, number in components)
    task = ProposalTask(target, posteriors, posteriors.family, count, quasi_random=False)
    return task.mixture(components, **options)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def narrow(pair, tokens):
    """A numbered model, and a guide of 0.8 of the posteriors' own scales."""
    model, _ = pair
    loc, scale = posterior_moments(model.decoder, tokens)
    return Numbered(model), TableGuide(diagonal, loc, 0.8 * scale)


@pytest.fixture
def exact(pair, tokens):
    """log p(x) of the four sentences."""
    return quick_log_px(pair[0].decoder, tokens)


@pytest.fixture
def prepared(narrow, tokens):
    """Target and posteriors of the four sentences."""
    model, guide = narrow
    batch = replicates(tokens)
    return Target(model, batch), Posteriors(model, guide, batch, 0)


def ratios(pair, exact, tokens, count, **options):
    """Estimates of p(x) over p(x) by ``count`` replicates of each sentence."""
    batch = replicates(tokens, count)
    result = log_likelihood(*pair, [batch], max_tokens=10**6, **options)
    return (result.log_px - exact.repeat(count)).exp()


def test_quick_truth_is_the_truth(pair, tokens, exact):
    """The coarse grid against the fine one; the noise of the estimates here is above 1e-3."""
    expected = log_px_by_quadrature(pair[0].decoder, tokens, 2)
    torch.testing.assert_close(exact, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PROPOSALS)
@pytest.mark.parametrize(
    ("num_samples", "count"),
    [(6, 120), (16, 80), pytest.param(6, 5000, marks=pytest.mark.slow)],
)
def test_mean_of_the_estimates_is_the_probability(narrow, exact, tokens, name, num_samples, count):
    """E exp(log_px) = p(x) exactly, for any number of draws: all sentences pooled.

    The guide is narrow, but its weights have a variance (their tail index is 1 - 0.8^2 = 0.36).
    """
    options = {"num_samples": num_samples, "proposal": PROPOSALS[name]}
    assert abs(z_score(ratios(narrow, exact, tokens, count, **options), 1.0)) < 4.5


@pytest.mark.parametrize("name", PROPOSALS)
@pytest.mark.parametrize("num_samples", [6, 16])
def test_quasi_random_draws_are_unbiased_too(narrow, exact, tokens, name, num_samples):
    options = {"num_samples": num_samples, "proposal": PROPOSALS[name], "quasi_random": True}
    assert abs(z_score(ratios(narrow, exact, tokens, 50, **options), 1.0)) < 4.5


@pytest.mark.parametrize("crossed", [True, False])
def test_fit_to_the_draws_that_it_weights_would_show_as_a_bias(narrow, exact, tokens, crossed):
    """What the tests above can see: the adaptive proposal without the exchange of the halves."""
    batch = replicates(tokens, 80)
    target = Target(narrow[0], batch, max_tokens=10**6)
    posteriors = Posteriors(*narrow, batch, 0)
    own = posteriors.family
    made, fits = [], []
    for half in range(2):
        z = own.sample(4, posteriors.seeds("half", half))
        scores = target({"z": z})
        made.append(({"z": z}, scores))
        fits.append(own.fitted(z, (scores.total - own.log_prob(z)).softmax(0), 1.0))
    fit = fits[1] if crossed else fits[0]
    sampler = mixture_of(target, posteriors, [(own, 4), (fit, 4)], made=made[0])
    draws = sampler.scored(Block(0, 8, 8, 0, 0))
    log_weights = draws.log_likelihood + draws.log_prior - draws.log_proposal
    estimates = (log_weights.logsumexp(0) - math.log(8) - exact.repeat(80)).exp()
    score = z_score(estimates, 1.0)
    assert abs(score) < 4.5 if crossed else score < -10


@pytest.mark.parametrize(("name", "rounds"), [("guide", 1), *((name, 3) for name in PROPOSALS)])
def test_errors_are_as_large_as_they_are_said_to_be(pair, exact, tokens, name, rounds):
    """And unbiased after three rounds for every sentence, where none stops early.

    A guide of the right scale, its mean off by 0.3 of it. The mean square of the errors of the
    estimates of p(x) over that of their standard errors is 1; of 280 of them it is known to 0.1,
    and the proposals fitted to 15 draws make it 1.1. Draws of the first round drawn again in the
    others would make it 3, and draws counted twice in one round 2.
    """
    loc, scale = posterior_moments(pair[0].decoder, tokens)
    guide = TableGuide(diagonal, loc + 0.3 * scale, scale)
    options = {"target_standard_error": 1e-9, "most_rounds": rounds, "num_samples": 60}
    result = log_likelihood(
        Numbered(pair[0]), guide, [replicates(tokens, 70)], proposal=PROPOSALS[name], **options
    )
    assert (result.num_draws == 60 * rounds).all()
    estimates = (result.log_px - exact.repeat(70)).exp()
    assert abs(z_score(estimates, 1.0)) < 4.5
    said = (estimates * result.standard_error).square().mean()
    assert 0.75 < (estimates - 1).square().mean() / said < 1.45


@pytest.mark.parametrize("name", PROPOSALS)
def test_mean_of_the_estimates_is_the_probability_on_the_sphere(pair, tokens, name):
    """A circle; the guide's weights have a variance below a concentration of 0.5 there."""
    decoder = pair[0].decoder
    model = Numbered(SentenceVAE(prior=UniformSphere(2).double(), decoder=decoder))
    angles = torch.tensor([0.0, 2.0, 3.0, 5.0]).double()
    loc = torch.stack([angles.cos(), angles.sin()], -1)
    guide = TableGuide(PowerSpherical, loc, torch.full((4,), 0.4).double())
    options = {"num_samples": 16, "proposal": PROPOSALS[name]}
    found = ratios((model, guide), log_px_on_circle(decoder, tokens), tokens, 25, **options)
    assert abs(z_score(found, 1.0)) < 4.5


@pytest.mark.parametrize("name", PROPOSALS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_blocks_hold_the_draws_they_are_asked_for(prepared, name, parts):
    """Also where a block has fewer draws than there are distributions to draw from."""
    for num_samples in (4, 7, 9, 101):
        sampler = PROPOSALS[name].start(*prepared, num_samples)
        for number, (start, stop) in enumerate(pairwise(boundaries(num_samples, parts))):
            draws = sampler.scored(Block(start, stop, num_samples, number, 0))
            assert draws.log_prior.shape == (stop - start, 4)


@pytest.mark.parametrize("counts", [(5, 2), (1, 100), (7, 7), (0, 3), (3, 0)])
@pytest.mark.parametrize("blocks", [1, 3])
def test_draws_of_a_mixture_are_weighted_by_its_density(prepared, counts, blocks):
    """Whichever component made them, and in whatever block: the shares are those of the round."""
    target, posteriors = prepared
    guide = posteriors.family
    wide = guide.widened(1.5)
    seen = []
    target_call = target.__call__

    class Recorded:
        def __call__(self, latents):
            seen.append(latents["z"])
            return target_call(latents)

    total = sum(counts)
    components = [(wide, counts[0]), (guide, counts[1])]
    sampler = mixture_of(Recorded(), posteriors, components)
    parts = [
        sampler.scored(Block(start, stop, total, number, 0))
        for number, (start, stop) in enumerate(pairwise(boundaries(total, blocks)))
        if start < stop
    ]
    draws, z = Scored.cat(parts), torch.cat(seen)
    assert z.shape == (total, 4, 2)
    share = torch.tensor(counts).double() / total
    density = share[0] * wide.log_prob(z).exp() + share[1] * guide.log_prob(z).exp()
    scores = target({"z": z})
    for found, expected in (
        (draws.log_proposal, density.log()),
        (draws.log_guide, guide.log_prob(z)),
        (draws.log_likelihood, scores.log_likelihood),
        (draws.log_prior, scores.log_prior),
    ):
        # The draws are spread in another order than they are made in, the same for all columns.
        torch.testing.assert_close(found.sort(0).values, expected.sort(0).values)
    found = draws.log_likelihood + draws.log_prior - draws.log_proposal
    expected = scores.total - density.log()
    torch.testing.assert_close(found.sort(0).values, expected.sort(0).values)


def test_any_stretch_of_a_mixture_holds_its_share_of_each_component(prepared):
    """Components a million scales apart, so that a draw tells which of them made it."""
    target, posteriors = prepared
    guide = posteriors.family
    components = [(guide.widened(1e6), 10), (guide, 30)]
    sampler = mixture_of(target, posteriors, components)
    draws = sampler.scored(Block(0, 40, 40, 0, 0))
    from_wide = (draws.log_guide < -1e4).reshape(10, 4, 4).sum(1)
    assert (from_wide == 1).all()


def test_draws_that_are_there_are_scored_in_the_first_round_alone(prepared):
    target, posteriors = prepared
    guide = posteriors.family
    z = guide.sample(6, posteriors.seeds("made"))
    made = ({"z": z}, target({"z": z}))
    components = [(guide, 6), (guide.widened(2.0), 4)]
    sampler = mixture_of(target, posteriors, components, made=made)
    spent = target.evaluations
    rounds = [
        Scored.cat(
            [sampler.scored(Block(0, 5, 10, 0, turn)), sampler.scored(Block(5, 10, 10, 1, turn))]
        )
        for turn in range(2)
    ]
    assert target.evaluations == spent + 4 * 4 + 10 * 4
    there = [torch.isin(draws.log_guide, guide.log_prob(z)).sum(0) for draws in rounds]
    assert there[0].tolist() == [6] * 4
    assert there[1].tolist() == [0] * 4


@pytest.mark.parametrize("name", [*PROPOSALS, "run"])
def test_rows_in_a_further_round_draw_as_the_whole_batch_does(prepared, name):
    target, posteriors = prepared
    if name == "run":
        sampler = GuideSampler(target, posteriors)
    else:
        sampler = PROPOSALS[name].start(target, posteriors, 9)
    chosen = torch.tensor([3, 1])
    part = sampler.rows(target.rows(chosen), posteriors.rows(chosen), chosen)
    block = Block(2, 9, 9, 1, 1)
    whole, rows = sampler.scored(block), part.scored(block)
    for one in ("log_likelihood", "log_prior", "log_proposal", "log_guide"):
        expected = getattr(whole, one)[:, chosen]
        torch.testing.assert_close(getattr(rows, one), expected, rtol=1e-12, atol=1e-12)


def test_samplers_side_by_side_keep_their_shares(prepared):
    target, posteriors = prepared
    guide = posteriors.family
    near = mixture_of(target, posteriors, [(guide, 6)], purpose="near")
    far = mixture_of(target, posteriors, [(guide.widened(1e6), 3)], purpose="far")
    joined = JoinedSampler([(near, 6), (far, 3)])
    draws = [joined.scored(Block(start, start + 3, 9, 0, 0)) for start in (0, 3, 6)]
    assert [(part.log_guide < -1e4).sum(0).tolist() for part in draws] == [[1] * 4] * 3


@pytest.fixture
def asked(monkeypatch):
    """Every seed that was asked for, but those of draws that only try whether there are any."""
    asked = []
    plain = GuideDraws.seeds

    def recorded(self, *purpose):
        if purpose != ("score",):
            asked.extend(plain(self, *purpose))
        return plain(self, *purpose)

    monkeypatch.setattr(GuideDraws, "seeds", recorded)
    return asked


@pytest.mark.parametrize("name", [*PROPOSALS, "run"])
def test_no_random_number_is_used_twice(narrow, tokens, name, asked, monkeypatch):
    """Two rounds of two blocks, and what a proposal draws for itself before them."""
    if name == "run":
        monkeypatch.setattr(Posteriors, "_find_family", lambda self, sites: None)
    options = {"num_samples": 600, "target_standard_error": 1e-9, "most_rounds": 2}
    batch = replicates(tokens)
    log_likelihood(*narrow, [batch], proposal=PROPOSALS.get(name), **options)
    assert len(asked) >= 2 * 2 * 4
    assert len(set(asked)) == len(asked)


def test_populations_have_numbers_that_no_fit_and_no_pilot_has_had(narrow, tokens, asked):
    """A population that begins where its pilot began would move by steps that were fitted to it."""
    proposal = AnnealedProposal(pilot_particles=8, threshold=0.5, leapfrog_steps=1)
    options = {"target_standard_error": 1e-9, "most_rounds": 2}
    log_likelihood(*narrow, [replicates(tokens)], 16, proposal=proposal, **options)
    # A fit, a pilot, and two rounds of four blocks.
    assert len(asked) == (2 + 2 * 4) * 4
    assert len(set(asked)) == len(asked)


def test_no_stage_has_the_numbers_of_the_stage_before(pair, tokens, asked):
    loc, scale = posterior_moments(pair[0].decoder, tokens)
    guide = TableGuide(diagonal, loc + 3 * scale, 0.5 * scale)
    proposal = AutoProposal(pilot_draws=4)
    batch = replicates(tokens, 5)
    result = log_likelihood(Numbered(pair[0]), guide, [batch], 10, proposal=proposal)
    # Some sentences went on to annealing, so that all three stages were met.
    assert (result.decoder_evaluations > 500).any()
    assert len(set(asked)) == len(asked)
