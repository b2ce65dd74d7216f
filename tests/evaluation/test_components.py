# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Distributions over all latents jointly: their draws, their densities, and rows of them."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.families import GaussianFamily
from pyro_textvae.evaluation.importance.components import (
    FamilyComponent,
    GuideComponent,
    MixtureComponent,
    PriorComponent,
)
from pyro_textvae.evaluation.importance.latent_vector import LatentVector
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.guides import InverseAutoregressiveFlowGuide, SplineFlowGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import BagOfWordsEncoder
from pyro_textvae.priors import StandardNormal
from tests.evaluation.replicates import z_score
from tests.programs.discrete import TopicGuide, TopicVAE
from tests.programs.hierarchy import HierarchyGuide, HierarchyVAE
from tests.programs.pairs import (
    CONVERSATIONS,
    TEXT_AND_SOURCE,
    conditional,
    conversations,
)
from tests.quadrature import TinyTextModel, log_px_by_quadrature

SENTENCES = torch.tensor([[5, 9, 5, 2], [3, 7, 2, 0], [2, 0, 0, 0]])
ROUNDING = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def encoder():
    return BagOfWordsEncoder(20, 3, 6)


def hierarchy():
    return HierarchyVAE(TinyTextModel(2), 2), HierarchyGuide(encoder(), 2)


def topics():
    return TopicVAE(TinyTextModel(2), 2), TopicGuide(encoder(), 2)


def spline():
    return normal_model(), SplineFlowGuide(encoder(), 2, num_bins=3)


def autoregressive():
    return normal_model(), InverseAutoregressiveFlowGuide(encoder(), 2)


def normal_model():
    return SentenceVAE(prior=StandardNormal(2), decoder=TinyTextModel(2))


PAIRS = {
    "two latents": (hierarchy, {"tokens": SENTENCES}),
    "discrete": (topics, {"tokens": SENTENCES}),
    "spline": (spline, {"tokens": SENTENCES}),
    "autoregressive": (autoregressive, {"tokens": SENTENCES}),
    "conditional": (conditional, TEXT_AND_SOURCE),
    "turns inside": (lambda: conversations(-2), {"tokens": CONVERSATIONS}),
    "turns outside": (lambda: conversations(-1), {"tokens": CONVERSATIONS}),
}


@pytest.fixture(params=PAIRS)
def prepared(request):
    """Target and posteriors of every pair."""
    make, batch = PAIRS[request.param]
    pyro.set_rng_seed(1)
    model, guide = (module.double().eval() for module in make())
    posteriors = Posteriors(model, guide, batch, 0)
    return Target(model, batch, plates=posteriors.plates), posteriors


def test_guide_scores_its_own_draws_as_it_did_when_it_drew_them(prepared):
    """A flow by its inverse; the shorter sentences of the batch as if they were alone."""
    _, posteriors = prepared
    latents, log_q = posteriors.sample(7, 0)
    component = GuideComponent.of(posteriors)
    copies = {name: value.clone() for name, value in latents.items()}
    torch.testing.assert_close(component.log_prob(copies, None), log_q, rtol=0, atol=1e-6)


def test_prior_draws_are_those_of_the_model_and_its_density_the_targets(prepared):
    target, posteriors = prepared
    component = PriorComponent.of(target, posteriors)
    latents = component.sample(5, posteriors.seeds("prior"))
    shapes = {name: value.shape for name, value in posteriors.sample(5, 0)[0].items()}
    assert {name: value.shape for name, value in latents.items()} == shapes
    joint = target(latents)
    assert component.log_prob(latents, joint) is joint.log_prior
    assert joint.log_prior.isfinite().all()


def test_rows_draw_and_score_as_the_whole_batch(prepared):
    target, posteriors = prepared
    chosen = torch.tensor([2, 1])  # of the conversations those of fewer turns
    for component in (GuideComponent(posteriors), PriorComponent(target, posteriors)):
        some = posteriors.rows(chosen)
        rows = component.rows(chosen, target.rows(chosen), some)
        whole = component.sample(4, posteriors.seeds("x"))
        part = rows.sample(4, some.seeds("x"))
        for name, value in part.items():
            torch.testing.assert_close(value, whole[name][:, chosen], rtol=0, atol=0)
        torch.testing.assert_close(
            rows.log_prob(part, target.rows(chosen)(part)),
            component.log_prob(whole, target(whole))[:, chosen],
            **ROUNDING,
        )


def test_prior_of_two_latents_is_drawn_from_the_first_to_the_second():
    """topic ~ N(0, I), z ~ N(W topic, I): moments of 4,000 draws of each sentence."""
    model, guide = (module.double() for module in hierarchy())
    batch = {"tokens": SENTENCES}
    posteriors = Posteriors(model, guide, batch, 0)
    target = Target(model, batch, plates=posteriors.plates)
    latents = PriorComponent(target, posteriors).sample(4000, posteriors.seeds("prior"))
    topic, z = latents["topic"], latents["z"]
    rest = z - model.mean(topic)
    for values in (topic, rest):
        assert z_score(values, 0.0).abs().max() < 4.5
        assert z_score(values.square(), 1.0).abs().max() < 4.5
    assert z_score(topic * rest, 0.0).abs().max() < 4.5


def test_prior_of_a_text_with_a_source_is_that_given_the_source():
    model, guide = conditional()
    posteriors = Posteriors(model, guide, TEXT_AND_SOURCE, 0)
    target = Target(model, TEXT_AND_SOURCE, plates=posteriors.plates)
    z = PriorComponent(target, posteriors).sample(4000, posteriors.seeds("prior"))["z"]
    loc, log_scale = model.prior(model.source_encoder(TEXT_AND_SOURCE["source"])).chunk(2, -1)
    assert z_score(z, loc).abs().max() < 4.5
    assert z_score((z - loc).square(), (2 * log_scale).exp()).abs().max() < 4.5


@pytest.mark.parametrize("make", [hierarchy, spline, autoregressive])
def test_density_of_the_guide_has_its_slope_as_gradient(make):
    pyro.set_rng_seed(1)
    model, guide = (module.double().eval() for module in make())
    posteriors = Posteriors(model, guide, {"tokens": SENTENCES}, 0)
    component = GuideComponent(posteriors)
    latents = {name: value.clone() for name, value in posteriors.sample(3, 0)[0].items()}
    with torch.enable_grad():
        leaves = {name: value.requires_grad_() for name, value in latents.items()}
        log_prob = component.log_prob(leaves, None)
        gradients = torch.autograd.grad(log_prob.sum(), list(leaves.values()))
    for (name, value), gradient in zip(latents.items(), gradients, strict=True):
        step = torch.zeros_like(value)
        step[..., 0] = 1e-5
        above, below = (
            component.log_prob(latents | {name: value + sign * step}, None) for sign in (1, -1)
        )
        torch.testing.assert_close(gradient[..., 0], (above - below) / 2e-5, rtol=1e-5, atol=1e-5)
    assert all(parameter.requires_grad for parameter in guide.parameters())


def test_long_lists_of_draws_are_scored_in_pieces(monkeypatch):
    model, guide = (module.double().eval() for module in hierarchy())
    posteriors = Posteriors(model, guide, {"tokens": SENTENCES}, 0)
    latents, log_q = posteriors.sample(7, 0)
    monkeypatch.setattr("pyro_textvae.evaluation.importance.posteriors._DRAWS_AT_ONCE", 6)
    torch.testing.assert_close(posteriors.log_prob(latents), log_q, **ROUNDING)


def test_flow_without_an_inverse_is_no_component():
    class PlanarGuide(pyro.nn.PyroModule):
        def __init__(self):
            super().__init__("guide")
            self.planar = dist.transforms.Planar(2)

        def forward(self, tokens, *, size=None):
            with pyro.plate("data", len(tokens)):
                base = dist.Normal(torch.zeros(len(tokens), 2).double(), 1.0).to_event(1)
                pyro.sample("z", dist.TransformedDistribution(base, [self.planar]))

    model, guide = normal_model().double(), PlanarGuide().double().eval()
    assert GuideComponent.of(Posteriors(model, guide, {"tokens": SENTENCES}, 0)) is None


def test_prior_without_draws_is_no_component():
    class Scored(dist.Normal):
        def sample(self, sample_shape=()):
            raise NotImplementedError

        rsample = sample
        has_rsample = False

    class Prior(pyro.nn.PyroModule):
        def forward(self):
            return Scored(torch.zeros(2).double(), 1.0).to_event(1)

    model, guide = (module.double().eval() for module in spline())
    posteriors = Posteriors(model, guide, {"tokens": SENTENCES}, 0)
    target = Target(model, {"tokens": SENTENCES}, plates=posteriors.plates)
    model.prior = Prior()
    assert PriorComponent.of(target, posteriors) is None


def test_family_is_scored_and_drawn_at_its_site(pair, tokens):
    model, guide = pair
    batch = {"tokens": tokens}
    target, posteriors = Target(model, batch), Posteriors(model, guide, batch, 0)
    family = GaussianFamily.of(posteriors.distributions["z"][0])
    chosen = torch.tensor([3, 1])
    for quasi_random in (False, True):
        component = FamilyComponent(posteriors.vector, family, quasi_random=quasi_random)
        latents = component.sample(6, posteriors.seeds("x"))
        expected = family.sample(6, posteriors.seeds("x"), quasi_random=quasi_random)
        assert torch.equal(latents["z"], expected)
        assert torch.equal(component.log_prob(latents, None), family.log_prob(expected))
        some = posteriors.rows(chosen)
        rows = component.rows(chosen, target.rows(chosen), some)
        assert torch.equal(rows.sample(6, some.seeds("x"))["z"], expected[:, chosen])


def points(*values):
    """A Gaussian narrow around each of some numbers, as components for two sentences."""
    return [
        FamilyComponent(
            LatentVector({"z": torch.Size([1])}),
            GaussianFamily(
                torch.full((2, 1), value).double(),
                torch.full((2, 1), 1e-3).double(),
                torch.zeros(2, 1).double(),
                torch.zeros(2, 1).double(),
            ),
        )
        for value in values
    ]


def shares_of(z, values):
    return torch.stack([((z - value).abs() < 0.1).double().mean() for value in values])


def test_every_draw_of_a_mixture_is_of_its_shares():
    """The first and the last alike; numbers of draws are within one of the shares."""
    one, two, three = points(0.0, 1.0, 2.0)
    mixture = MixtureComponent([(one, 0.55), (two, 0.3), (three, 0.15)])
    drawn = torch.cat(
        [mixture.sample(7, [2 * seed, 2 * seed + 1])["z"] for seed in range(1000)], 1
    ).squeeze(-1)
    expected = torch.tensor([0.55, 0.3, 0.15])
    for place in range(7):
        error = (expected * (1 - expected) / 2000).sqrt()
        found = shares_of(drawn[place], [0.0, 1.0, 2.0])
        assert ((found - expected).abs() < 4.5 * error).all()
    counts = (drawn < 0.5).sum(0)
    assert counts.min() == 3
    assert counts.max() == 4


def test_mixture_of_mixtures_has_the_product_of_the_shares():
    """An inner one makes more draws than are taken: which ones are left must not matter."""
    one, two, three = points(0.0, 1.0, 2.0)
    inner = MixtureComponent([(one, 0.6), (two, 0.4)])
    mixture = MixtureComponent([(inner, 0.5), (three, 0.5)])
    drawn = torch.cat([mixture.sample(3, [2 * n, 2 * n + 1])["z"] for n in range(1000)], 1)
    expected = torch.tensor([0.3, 0.2, 0.5])
    found = shares_of(drawn, [0.0, 1.0, 2.0])
    assert ((found - expected).abs() < 4.5 * (expected * (1 - expected) / 2000).sqrt()).all()


def test_density_of_a_mixture_is_the_mean_by_its_shares():
    one, two = points(0.0, 0.001)
    mixture = MixtureComponent([(one, 0.25), (two, 0.75), (two, 0.0)])
    latents = mixture.sample(5, [0, 1])
    parts = [component.log_prob(latents, None).exp() for component in (one, two)]
    expected = (0.25 * parts[0] + 0.75 * parts[1]).log()
    torch.testing.assert_close(mixture.log_prob(latents, None), expected)
    row = torch.tensor([1])
    alone = mixture.rows(row, None, None)
    assert torch.equal(alone.sample(5, [1])["z"], latents["z"][:, row])
    part = {"z": latents["z"][:, row]}
    assert torch.equal(alone.log_prob(part, None), mixture.log_prob(latents, None)[:, row])


class ScoredPrior(pyro.nn.PyroModule):
    """N(0, I) that has a density and no draws."""

    class Density(dist.Normal):
        has_rsample = False

        def sample(self, sample_shape=()):
            raise NotImplementedError

        rsample = sample

    def forward(self):
        return self.Density(torch.zeros(2).double(), 1.0).to_event(1)


@pytest.mark.parametrize("guide_kind", ["family", "flow"])
@pytest.mark.parametrize("name", ["annealed", "auto", "guide", "mixture", "refined"])
def test_prior_without_draws_is_named_and_done_without(pair, tokens, name, guide_kind):
    """With the density of a standard normal, so that the truth is known."""
    pyro.set_rng_seed(1)
    model, guide = pair
    if guide_kind == "flow":
        guide = SplineFlowGuide(BagOfWordsEncoder(7, 3, 6), 2, num_bins=3).double().eval()
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    model.prior = ScoredPrior()
    proposal = zoo.load("proposals", name)()
    found = log_likelihood(model, guide, [{"tokens": tokens}], 100, proposal=proposal)
    assert ((found.log_px - exact).abs() < 4.5 * found.standard_error).all()
    notes = [note for note in found.notes if "the prior of 'z', which has a density alone" in note]
    assert len(notes) == (name != "guide")
    assert all(f"of the {name} proposal are from the guide" in note for note in notes)
    assert not any("but for a share of the prior's" in note for note in found.notes)
