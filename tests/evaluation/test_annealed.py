# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The annealed proposal against the truth: mean of the estimates of p(x), for any guide."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.proposals import AnnealedProposal
from pyro_textvae.guides import (
    InverseAutoregressiveFlowGuide,
    ProductSpaceGuide,
    SplineFlowGuide,
)
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import BagOfWordsEncoder
from pyro_textvae.priors import ProductSpace, StandardNormal, UniformSphere
from tests.evaluation.linear_gaussian import LinearGaussian
from tests.evaluation.replicates import (
    Numbered,
    TableGuide,
    diagonal,
    log_px_on_circle,
    replicates,
    z_score,
)
from tests.evaluation.test_two_plates import exact_log_px
from tests.programs.discrete import TopicGuide, TopicVAE
from tests.programs.hierarchy import HierarchyGuide, HierarchyVAE
from tests.programs.pairs import CONVERSATIONS, conversations
from tests.quadrature import LOG_PX_2D, SENTENCES, TinyTextModel

BRIEF = AnnealedProposal(pilot_particles=8, threshold=0.5, leapfrog_steps=1)
SENTENCE = SENTENCES[1:2]
POINTS = torch.linspace(-8.0, 8.0, 1601, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def encoder():
    return BagOfWordsEncoder(20, 3, 6)


def estimates(pair, tokens, truth, count, num_samples=8, proposal=BRIEF):
    """Estimates of p(x) over p(x), of ``count`` replicates of one sentence."""
    model, guide = (module.double().eval() for module in pair)
    batch = replicates(tokens, count)
    result = log_likelihood(model, guide, [batch], num_samples, proposal=proposal, max_tokens=10**6)
    assert result.notes == ()
    return (result.log_px - truth).exp()


def log_px_1d(log_prior):
    """log p(x) of the sentence under the prior of one coordinate that is given on the points."""
    score = TinyTextModel(1)(POINTS.unsqueeze(-1)).log_prob(SENTENCE)
    return (score + log_prior).logsumexp(0) + (POINTS[1] - POINTS[0]).log()


class FoldedModel(PyroModule):
    """z ~ N(0, 1), x ~ N(z^2, 0.1^2) as ``tokens``: two modes, far apart."""

    def __init__(self):
        super().__init__("model")
        self.zero = nn.Parameter(torch.zeros(1))

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(self.zero, 1.0).to_event(1))
            return pyro.sample("x", dist.Normal(z.square(), 0.1).to_event(1), obs=tokens)


def test_mean_is_the_probability_with_a_narrow_guide_of_a_correlated_posterior():
    """Four dimensions; 100 estimates, by a guide of 0.3 of the marginal scales."""
    model = LinearGaussian(4)
    with evaluation_mode(model, model, 1):
        _, x = model.simulate(1)
    exact = model.posterior(x)
    guide = TableGuide(diagonal, exact.mean + 0.5 * exact.stddev, 0.3 * exact.stddev)
    found = estimates((Numbered(model), guide), x, model.log_px(x), 100)
    assert abs(z_score(found, 1.0)) < 4.5
    assert found.std() < 0.5


def test_mean_is_the_probability_of_two_modes_with_a_guide_of_one():
    x = torch.tensor([[1.5]]).double()
    log_joint = -0.5 * POINTS.square() + dist.Normal(POINTS.square(), 0.1).log_prob(x[0])
    truth = log_joint.logsumexp(0) + math.log(0.01) - 0.5 * math.log(2 * math.pi)
    guide = TableGuide(diagonal, torch.tensor([[1.2]]), torch.tensor([[0.02]]))
    found = estimates(
        (Numbered(FoldedModel()), guide), x, truth, 60, 16, AnnealedProposal(prior_share=0.4)
    )
    assert abs(z_score(found, 1.0)) < 4.5
    assert found.std() < 1.0


def test_mean_is_the_probability_of_two_latents():
    """topic ~ N(0, I), z ~ N(W topic + b, 1): z alone is a normal of variance 1 + W W^T."""
    pyro.set_rng_seed(0)
    model, guide = HierarchyVAE(TinyTextModel(1), 1), HierarchyGuide(encoder(), 1)
    model.mean.weight.fill_(1.0)
    variance = 1 + model.mean.weight.double().square().sum()
    prior = dist.Normal(model.mean.bias.double(), variance.sqrt())
    truth = log_px_1d(prior.log_prob(POINTS))
    found = estimates((model, guide), SENTENCE, truth, 40)
    assert abs(z_score(found, 1.0)) < 4.5
    assert found.std() < 0.6


def test_mean_is_the_probability_with_a_discrete_latent():
    pyro.set_rng_seed(0)
    model, guide = TopicVAE(TinyTextModel(1), 1), TopicGuide(encoder(), 1)
    model.loc.weight.copy_(torch.tensor([[-2.0], [0.0], [2.0]]))
    parts = [dist.Normal(loc, 1.0).log_prob(POINTS) for loc in model.loc.weight.double()]
    truth = log_px_1d(torch.stack(parts).logsumexp(0) - math.log(3))
    found = estimates((model, guide), SENTENCE, truth, 40)
    assert abs(z_score(found, 1.0)) < 4.5
    assert found.std() < 0.8


@pytest.mark.parametrize("make", [SplineFlowGuide, InverseAutoregressiveFlowGuide])
def test_mean_is_the_probability_with_a_flow_as_guide(make):
    pyro.set_rng_seed(0)
    model = SentenceVAE(prior=StandardNormal(2), decoder=TinyTextModel(2))
    found = estimates((model, make(encoder(), 2)), SENTENCE, LOG_PX_2D[1], 24)
    assert abs(z_score(found, 1.0)) < 4.5
    assert found.std() < 0.6


def test_mean_is_the_probability_on_the_sphere():
    """A guide turned away from the posterior by a radian and a half, and too narrow."""
    decoder = TinyTextModel(2)
    model = SentenceVAE(prior=UniformSphere(2), decoder=decoder)
    loc = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    guide = TableGuide(PowerSpherical, loc, torch.tensor([20.0]).double())
    truth = log_px_on_circle(decoder, SENTENCE)
    found = estimates((Numbered(model), guide), SENTENCE, truth, 60)
    assert abs(z_score(found, 1.0)) < 4.5
    assert found.std() < 0.8


def test_every_kind_of_latent_moves_at_once():
    """A product of a circle and a line, by quadrature over both."""
    decoder = TinyTextModel(3)
    model = SentenceVAE(prior=ProductSpace(3), decoder=decoder)
    angles = 2 * math.pi * torch.arange(60).double() / 60
    points = torch.linspace(-6.0, 6.0, 61, dtype=torch.float64)
    grid = torch.cartesian_prod(angles, points)
    z = torch.stack([grid[:, 0].cos(), grid[:, 0].sin(), grid[:, 1]], -1)
    score = decoder(z.unsqueeze(1)).log_prob(SENTENCE) + dist.Normal(0.0, 1.0).log_prob(grid[:, 1:])
    truth = score.logsumexp(0) + math.log(0.2 / 60)
    found = estimates((model, product_guide()), SENTENCE, truth, 40)
    assert abs(z_score(found, 1.0)) < 4.5
    assert found.std() < 0.8


def product_guide():
    pyro.set_rng_seed(0)
    return ProductSpaceGuide(encoder(), 3)


@pytest.mark.parametrize("data_dim", [-1, -2])
def test_latents_of_turns_are_annealed_too(data_dim):
    """Each conversation within 4.5 standard errors of quadrature, and better than the guide."""
    model, guide = conversations(data_dim)
    options = {"num_samples": 256, "proposal": AnnealedProposal(leapfrog_steps=1)}
    found = log_likelihood(model, guide, [{"tokens": CONVERSATIONS}], **options)
    exact = exact_log_px(model)
    assert (((found.log_px - exact) / found.standard_error).abs() < 4.5).all()
    assert (found.standard_error < 0.3).all()
    assert found.notes == ()


@pytest.mark.parametrize("kind", ["gaussian", "discrete", "turns"])
def test_numbers_of_a_sentence_do_not_depend_on_its_batch(kind):
    """Neither its estimate nor its cost, in a further round either."""
    pyro.set_rng_seed(0)
    tokens = SENTENCES
    if kind == "gaussian":
        pair = SentenceVAE(prior=StandardNormal(2), decoder=TinyTextModel(2)), flow()
    elif kind == "discrete":
        pair = TopicVAE(TinyTextModel(1), 1), TopicGuide(encoder(), 1)
    else:
        pair, tokens = conversations(-2), CONVERSATIONS
    model, guide = (module.double().eval() for module in pair)
    options = {"proposal": BRIEF, "target_standard_error": 1e-3, "most_rounds": 2}
    whole = log_likelihood(model, guide, [{"tokens": tokens}], 4, **options)
    alone = log_likelihood(
        model, guide, [{"tokens": row[None]} for row in tokens[1::2]], 4, max_tokens=30, **options
    )
    assert torch.equal(whole.decoder_evaluations[1::2], alone.decoder_evaluations)
    for name in ("log_px", "standard_error", "kl", "reconstruction", "ess"):
        torch.testing.assert_close(
            getattr(alone, name), getattr(whole, name)[1::2], rtol=0, atol=1e-8, equal_nan=True
        )
    once = options | {"most_rounds": 1}
    first, again, other = (
        log_likelihood(model, guide, [{"tokens": tokens[:1]}], 4, seed=seed, **once).log_px
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).any()


def flow():
    return SplineFlowGuide(encoder(), 2, num_bins=3)


def test_bound_of_the_guide_is_what_the_guide_says(pair, tokens):
    """Reconstruction and KL are averaged under the guide, whatever moved the draws."""
    options = {"num_samples": 1000, "proposal": AnnealedProposal(leapfrog_steps=1)}
    found = log_likelihood(*pair, [{"tokens": tokens}], **options)
    guide = log_likelihood(*pair, [{"tokens": tokens}], num_samples=10_000)
    torch.testing.assert_close(found.kl, guide.kl)
    torch.testing.assert_close(found.reconstruction, guide.reconstruction, rtol=0, atol=0.1)


def test_error_is_that_between_populations(pair, tokens):
    """Over 60 replicates: what the populations say of their error is what there is of it."""
    model, guide = pair
    batch = replicates(tokens[2:3], 40)
    found = log_likelihood(Numbered(model), guide, [batch], 64, proposal=BRIEF)
    said = found.standard_error.square().mean()
    assert 0.5 < found.log_px.var() / said < 2.0
    assert found.khat.isnan().all()
    # As many independent draws would have this error.
    torch.testing.assert_close(1 / found.ess, found.standard_error.square() * 63 / 64 + 1 / 64)


class CountedText(TinyTextModel):
    """Counts what it scores, under a gradient threefold."""

    scored = 0

    def token_log_prob(self, tokens, mask, context):
        weight = 3 if torch.is_grad_enabled() else 1
        self.scored += weight * mask.expand(*context.z.shape[:-1], mask.shape[-1])[..., 0].numel()
        return super().token_log_prob(tokens, mask, context)


@pytest.mark.parametrize("make", ["flow", "sphere"])
def test_decoder_evaluations_are_all_counted(make):
    pyro.set_rng_seed(0)
    decoder = CountedText(2)
    if make == "flow":
        pair = SentenceVAE(prior=StandardNormal(2), decoder=decoder), flow()
    else:
        loc = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
        pair = (
            Numbered(SentenceVAE(prior=UniformSphere(2), decoder=decoder)),
            TableGuide(PowerSpherical, loc, torch.tensor([20.0])),
        )
    model, guide = (module.double().eval() for module in pair)
    found = log_likelihood(model, guide, [replicates(SENTENCES)], 16, proposal=BRIEF)
    assert found.decoder_evaluations.sum() == decoder.scored


class PlanarGuide(PyroModule):
    """A flow without an inverse."""

    def __init__(self):
        super().__init__("guide")
        self.planar = dist.transforms.Planar(2)

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            base = dist.Normal(torch.zeros(len(tokens), 2).double(), 1.0).to_event(1)
            pyro.sample("z", dist.TransformedDistribution(base, [self.planar]))


def test_guide_that_scores_no_draw_leaves_the_prior_alone_and_says_so():
    model = SentenceVAE(prior=StandardNormal(2), decoder=TinyTextModel(2)).double().eval()
    found = log_likelihood(
        model, PlanarGuide().double().eval(), [{"tokens": SENTENCES}], 64, proposal=BRIEF
    )
    error = found.log_px - torch.tensor(LOG_PX_2D).double()
    assert ((error / found.standard_error).abs() < 4.5).all()
    assert found.elbo.isnan().all()
    (note,) = found.notes
    assert "flow without an inverse" in note


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, r"threshold must lie in \(0, 1\), got 1.0"),
        ({"pilot_particles": 3}, "pilot_particles must be a whole number of at least 4, got 3"),
        ({"leapfrog_steps": 0.5}, "leapfrog_steps must be a whole number of at least 1, got 0.5"),
        ({"factor": 0.0}, "factor must be positive and finite, got 0.0"),
        ({"guide_share": 0.0}, r"guide_share must lie in \(0, 1\), got 0.0"),
        ({"prior_share": 1.5}, r"prior_share must lie in \(0, 1\), got 1.5"),
        ({"prior_share": 0.9}, "must leave a share to the fit, got 0.2 and 0.9"),
    ],
)
def test_bad_settings_are_refused_with_their_value(settings, message):
    with pytest.raises(ValueError, match=message):
        AnnealedProposal(**settings)


def test_annealing_without_gradients_is_refused(pair, tokens):
    with (
        torch.inference_mode(),
        pytest.raises(UserError, match="annealed proposal takes gradients"),
    ):
        log_likelihood(*pair, [{"tokens": tokens}], 8, proposal=BRIEF)
