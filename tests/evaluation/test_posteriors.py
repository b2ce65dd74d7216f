# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor

from pyro_textvae.distributions import PowerSpherical
from pyro_textvae.evaluation.families import GaussianFamily, SphericalFamily
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.guides import EmptyGuide, PowerSphericalGuide
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import UniformSphere
from tests.evaluation.replicates import z_score
from tests.evaluation.table_pair import Table

SMALLEST = {"rtol": 0, "atol": 1e-12}
"""Rounding of float64 in sums of this size."""


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def features(tokens):
    """Two numbers of each sentence that do not depend on its padding, ``(N, 2)``."""
    return torch.stack([(tokens != 0).sum(-1), tokens.sum(-1)], -1).double() / 10


class TwoLatents(PyroModule):
    """A model of two latents, the second around the sum of the first, and one word."""

    def __init__(self, names=("z_1", "z_2")):
        super().__init__("model")
        self.names = names

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", len(tokens)):
            zero = torch.zeros(2).double()
            first = pyro.sample(self.names[0], dist.Normal(zero, 1.0).to_event(1))
            second = pyro.sample(self.names[1], dist.Normal(first.sum(-1), 1.0))
            scores = second.unsqueeze(-1) * torch.linspace(-1, 1, 7).double()
            return pyro.sample("x", dist.Categorical(logits=scores), obs=tokens[..., 0])


class TwoLatentsGuide(PyroModule):
    """Its guide, with 0.3 of the sum."""

    def __init__(self, names=("z_1", "z_2")):
        super().__init__("guide")
        self.names = names

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            first = pyro.sample(self.names[0], gaussian(features(tokens)))
            pyro.sample(self.names[1], dist.Normal(0.3 * first.sum(-1), 0.5))


class OneLatent(PyroModule):
    """A guide whose z is drawn from what ``make`` makes of the features of the sentences."""

    def __init__(self, make):
        super().__init__("guide")
        self.make = make

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            return pyro.sample("z", self.make(features(tokens)))


class Masked(OneLatent):
    """The same for sentences of more than three tokens alone."""

    def forward(self, tokens, *, size=None):
        with poutine.mask(mask=(tokens != 0).sum(-1) > 3):
            return super().forward(tokens)


def gaussian(x: Tensor) -> dist.Distribution:
    return dist.Normal(x, 0.5).to_event(1)


def flow(x: Tensor) -> dist.Distribution:
    """3 + 2 u of a Gaussian u: N(3 + 2 x, 1), not told to anyone."""
    return dist.TransformedDistribution(
        gaussian(x), [dist.transforms.AffineTransform(3.0, 2.0, event_dim=1)]
    )


def test_seeds_belong_to_the_seed_the_sentence_and_the_purpose_alone(pair, tokens):
    model, guide = pair

    def seeds(tokens, *purpose, seed=0):
        return Posteriors(model, guide, {"tokens": tokens}, seed).seeds(*purpose)

    whole = seeds(tokens, "mixture", 3)
    order = torch.tensor([3, 1, 1])
    assert seeds(tokens[order], "mixture", 3) == [whole[row] for row in order]
    assert seeds(tokens[3:, :3], "mixture", 3) == whole[3:]
    others = [
        seeds(tokens, "mixture", 4),
        seeds(tokens, "guide", 3),
        seeds(tokens, "mixture", 3, seed=1),
    ]
    assert len({seed for one in (whole, *others) for seed in one}) == 16


def test_kl_is_the_closed_form_summed_over_dimensions(pair, tokens):
    model, guide = pair
    posteriors = Posteriors(model, guide, {"tokens": tokens}, 0)
    encoded = guide.encoder(tokens)
    loc, log_variance = guide.loc(encoded), guide.log_variance(encoded)
    expected = 0.5 * (loc.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    torch.testing.assert_close(posteriors.kl, expected, **SMALLEST)
    posterior, prior = posteriors.distributions["z"]
    assert posterior.batch_shape == prior.batch_shape == (4,)
    torch.testing.assert_close(posterior.mean, loc, **SMALLEST)
    assert posteriors.site == "z"


def test_kl_is_left_open_where_a_site_has_no_closed_form(pair, tokens):
    assert Posteriors(pair[0], OneLatent(flow), {"tokens": tokens}, 0).kl is None


@pytest.mark.parametrize(
    ("make", "family"),
    [
        (gaussian, GaussianFamily),
        (lambda x: dist.Normal(torch.zeros(2).double(), 1.0).to_event(1), GaussianFamily),
        (lambda x: dist.MultivariateNormal(x, torch.eye(2).double()), GaussianFamily),
        (
            lambda x: PowerSpherical(x / x.norm(dim=-1, keepdim=True), x[:, 0] + 1),
            SphericalFamily,
        ),
        (lambda x: dist.Laplace(x, 1.0).to_event(1), type(None)),
        (lambda x: dist.StudentT(torch.tensor(5.0).double(), x, 1.0).to_event(1), type(None)),
        (flow, type(None)),
        (lambda x: gaussian(x).mask(x[:, 0] > 0.2), type(None)),
    ],
)
def test_family_is_found_for_gaussians_and_spheres_alone(pair, tokens, make, family):
    model, _ = pair
    if family is SphericalFamily:
        model = SentenceVAE(prior=UniformSphere(2).double(), decoder=model.decoder)
    posteriors = Posteriors(model, OneLatent(make), {"tokens": tokens}, 0)
    assert type(posteriors.family) is family
    if posteriors.family is not None:
        z = torch.nn.functional.normalize(torch.randn(3, 4, 2).double(), dim=-1)
        expected = make(features(tokens)).expand((4,)).log_prob(z)
        torch.testing.assert_close(posteriors.family.log_prob(z), expected, **SMALLEST)


def test_running_a_flow_gives_its_draws_and_their_density(pair, tokens):
    posteriors = Posteriors(pair[0], OneLatent(flow), {"tokens": tokens}, 0)
    latents, log_q = posteriors.sample(4000, 0)
    expected = dist.Normal(3 + 2 * features(tokens), 1.0).to_event(1)
    assert latents["z"].shape == (4000, 4, 2)
    torch.testing.assert_close(log_q, expected.log_prob(latents["z"]), **SMALLEST)
    assert z_score(latents["z"], expected.mean).abs().max() < 4.5
    assert z_score((latents["z"] - expected.mean).square(), 1.0).abs().max() < 4.5


def test_several_latents_are_drawn_by_running_the_guide(tokens):
    posteriors = Posteriors(TwoLatents(), TwoLatentsGuide(), {"tokens": tokens}, 0)
    assert posteriors.family is None
    assert posteriors.names == ["z_1", "z_2"]
    latents, log_q = posteriors.sample(4000, 0)
    z_1, z_2 = latents["z_1"], latents["z_2"]
    assert (z_1.shape, z_2.shape) == ((4000, 4, 2), (4000, 4))
    expected = gaussian(features(tokens)).log_prob(z_1)
    expected = expected + dist.Normal(0.3 * z_1.sum(-1), 0.5).log_prob(z_2)
    torch.testing.assert_close(log_q, expected, **SMALLEST)
    assert z_score(z_1, features(tokens)).abs().max() < 4.5
    assert z_score((z_2 - 0.3 * z_1.sum(-1)).square(), 0.25).abs().max() < 4.5


def test_kl_is_left_open_where_it_depends_on_a_draw(tokens):
    """The divergence of the second site is a closed form given the first, and has a mean over it.

    What one draw of the first says of it is another number in every batch.
    """
    whole = Posteriors(TwoLatents(), TwoLatentsGuide(), {"tokens": tokens}, 0).kl
    alone = Posteriors(TwoLatents(), TwoLatentsGuide(), {"tokens": tokens[2:]}, 0).kl
    assert (whole is None and alone is None) or torch.equal(whole[2:], alone)


def test_draws_of_a_sentence_are_the_same_in_any_batch_and_new_in_every_block(pair, tokens):
    def draws(tokens, block, seed=0):
        posteriors = Posteriors(pair[0], OneLatent(flow), {"tokens": tokens}, seed)
        return posteriors.sample(5, block)[0]["z"]

    whole = draws(tokens, 0)
    order = torch.tensor([3, 0])
    torch.testing.assert_close(draws(tokens[order], 0), whole[:, order], rtol=0, atol=0)
    posteriors = Posteriors(pair[0], OneLatent(flow), {"tokens": tokens}, 0).rows(order)
    torch.testing.assert_close(posteriors.sample(5, 0)[0]["z"], whole[:, order], rtol=0, atol=0)
    every = [whole, draws(tokens, 5), draws(tokens, 0, seed=1)]
    assert torch.cat(every).unique().numel() == 3 * whole.numel()


def test_masked_sentences_have_no_density(pair, tokens):
    """Sentences of four and five tokens are drawn, those of one and three are masked."""
    posteriors = Posteriors(pair[0], Masked(gaussian), {"tokens": tokens}, 0)
    assert posteriors.family is None
    latents, log_q = posteriors.sample(3, 0)
    expected = gaussian(features(tokens)).log_prob(latents["z"])
    kept = torch.tensor([True, False, True, False])
    torch.testing.assert_close(log_q, expected * kept, **SMALLEST)


def test_latents_of_one_side_alone_are_named(tokens, pair):
    batch = {"tokens": tokens}
    with pytest.raises(ValueError, match="latent sites are z_1, z_2, the guide's u, z_1"):
        Posteriors(TwoLatents(), TwoLatentsGuide(("z_1", "u")), batch, 0)
    with pytest.raises(ValueError, match="latent sites are z, z_2, the guide's z"):
        Posteriors(TwoLatents(("z", "z_2")), OneLatent(gaussian), batch, 0)
    with pytest.raises(ValueError, match="latent sites are z, the guide's none"):
        Posteriors(pair[0], EmptyGuide(), batch, 0)


def test_another_support_than_the_priors_is_refused(pair, tokens):
    """A vector is no unit vector, and the area of a sphere no volume."""
    model = SentenceVAE(prior=UniformSphere(2).double(), decoder=pair[0].decoder)
    with pytest.raises(ValueError, match="latent site 'z' has support .* in the model and .* in "):
        Posteriors(model, pair[1], {"tokens": tokens}, 0)


def test_model_without_latents_has_no_posterior(tokens):
    model = LanguageModel(
        decoder=LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6)
    )
    posteriors = Posteriors(model, EmptyGuide(), {"tokens": tokens}, 0)
    assert posteriors.names == []
    assert posteriors.family is None
    assert posteriors.kl is None


def test_spherical_guide_has_its_family_and_its_divergence(tokens):
    sizes = {"vocab_size": 7, "embedding_dim": 4, "hidden_dim": 5}
    decoder = LSTMDecoder(**sizes, latent_dim=3, max_length=6)
    model = SentenceVAE(prior=UniformSphere(3), decoder=decoder).double()
    guide = PowerSphericalGuide(encoder=LSTMEncoder(**sizes), latent_dim=3).double()
    posteriors = Posteriors(model, guide, {"tokens": tokens}, 0)
    assert isinstance(posteriors.family, SphericalFamily)
    assert posteriors.family.kind is PowerSpherical
    posterior, prior = posteriors.distributions["z"]
    z = posterior.sample((20_000,))
    sampled = posterior.log_prob(z) - prior.log_prob(z)
    assert z_score(sampled, posteriors.kl).abs().max() < 4.5


@pytest.mark.parametrize(
    ("guide", "words"),
    [
        (OneLatent(flow), "a posterior of the kind TransformedDistribution at 'z'"),
        (OneLatent(lambda x: dist.Laplace(x, 1.0).to_event(1)), "a posterior of the kind Laplace"),
    ],
)
def test_kind_of_posterior_is_told_in_words(pair, tokens, guide, words):
    assert words in Posteriors(pair[0], guide, {"tokens": tokens}, 0).describe()


def test_several_latents_are_told_in_words(tokens):
    posteriors = Posteriors(TwoLatents(), TwoLatentsGuide(), {"tokens": tokens}, 0)
    assert posteriors.describe() == "2 latent sites (z_1, z_2)"


@pytest.mark.parametrize(("shape", "event_dim"), [((2, 3), 2), ((), 0)])
def test_a_posterior_that_is_no_vector_is_told_its_shape(tokens, shape, event_dim):
    program = Table(
        lambda rows: dist.Laplace(torch.zeros(len(rows), *shape), 1.0).to_event(event_dim)
    )
    found = Posteriors(program, program, {"tokens": tokens}, 0)
    assert found.family is None
    expected = f"a posterior of the kind Laplace at 'z', of event shape {shape}"
    assert found.describe() == expected
