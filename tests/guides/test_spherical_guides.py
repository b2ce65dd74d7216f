# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pyro_textvae import zoo
from pyro_textvae.distributions.von_mises_fisher_functions import divergence_from_uniform
from pyro_textvae.guides import PowerSphericalGuide, VonMisesFisherGuide
from pyro_textvae.infer import STL, BetaELBO, DReG, log_weights
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import UniformSphere

CIRCLE = torch.arange(720).double() * 2 * math.pi / 720


# Of each guide: the concentration that it starts from for one dimension, and its smallest.
START = {PowerSphericalGuide: 1.0, VonMisesFisherGuide: 2 / 3}
SMALLEST = {PowerSphericalGuide: 0.01, VonMisesFisherGuide: 0.0}

both = pytest.mark.parametrize("kind", list(START))


def build(kind, latent_dim, **options):
    decoder = LSTMDecoder(
        vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=latent_dim, max_length=6
    )
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    model = SentenceVAE(prior=UniformSphere(latent_dim), decoder=decoder)
    guide = kind(encoder=encoder, latent_dim=latent_dim, **options)
    return model.double(), guide.double()


def posterior_of(guide, tokens):
    return poutine.trace(guide).get_trace(tokens).nodes["z"]["fn"]


@both
@pytest.mark.parametrize("latent_dim", [2, 8, 64])
def test_posteriors_start_half_way_to_the_sphere(tokens, kind, latent_dim):
    _, guide = build(kind, latent_dim)
    posterior = posterior_of(guide, tokens)
    # Features lie in (-1, 1) and weights within 1 / sqrt(8): 8 of them move it by 8 / sqrt(8).
    assert (posterior.concentration - START[kind] * latent_dim).abs().max() < math.sqrt(8)
    assert (posterior.mean.norm(dim=-1) - 0.5).abs().max() < 0.25
    assert len(posterior.loc.unique(dim=0)) == len(tokens)


def test_a_given_concentration_fixes_the_divergence(tokens):
    model, guide = build(VonMisesFisherGuide, 5, concentration=30.0)
    posterior = posterior_of(guide, tokens)
    assert torch.equal(posterior.concentration, torch.full((4,), 30.0).double())
    assert not [name for name, _ in guide.named_parameters() if name.startswith("concentration")]
    terms = BetaELBO(num_particles=2).terms(model, guide, tokens=tokens)
    truth = divergence_from_uniform(torch.tensor(30.0).double(), 5)
    torch.testing.assert_close(terms.total_kl, truth.expand_as(terms.total_kl), rtol=1e-14, atol=0)
    BetaELBO()(model, guide)(tokens=tokens).backward()
    assert all(p.grad.abs().sum() > 0 for p in guide.parameters())


def test_the_command_line_can_fix_the_concentration():
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    values = {"encoder": encoder, "latent_dim": 4, "concentration": 12}
    guide = zoo.build(zoo.load("guides", "von_mises_fisher"), values)
    assert guide.fixed_concentration == 12


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_without_direction_or_spread_are_survived(tokens, kind, dtype):
    """All weights zero, and the concentration's bias as low as it can get."""
    model, guide = build(kind, 3)
    model, guide = model.to(dtype), guide.to(dtype)
    with torch.no_grad():
        for parameter in guide.loc.parameters():
            parameter.zero_()
        guide.concentration.bias.fill_(-1e4)
    smallest = torch.full((4,), SMALLEST[kind], dtype=dtype)
    torch.testing.assert_close(posterior_of(guide, tokens).concentration, smallest)
    loss = BetaELBO()(model, guide)(tokens=tokens)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in guide.parameters())


@pytest.mark.parametrize("objective", [BetaELBO, DReG, STL])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PowerSphericalGuide, {}),
        (VonMisesFisherGuide, {}),
        (VonMisesFisherGuide, {"concentration": 1e6}),
    ],
)
def test_objectives_that_differentiate_draws(tokens, objective, kind, options):
    model, guide = build(kind, 4, **options)
    objective(num_particles=3)(model, guide)(tokens=tokens).backward()
    for parameter in guide.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


@both
def test_importance_weights_average_to_the_exact_likelihood(tokens, kind):
    """p(x) by the trapezoid rule on the circle, which is exact for periodic functions."""
    model, guide = build(kind, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
        # For the power spherical, below (d - 1) / 2 = 0.5, where the weights have a variance.
        guide.concentration.weight.zero_()
        guide.concentration.bias.fill_(-1.5)
        circle = torch.stack([CIRCLE.cos(), CIRCLE.sin()], -1)
        log_px = model.decoder(circle.unsqueeze(1)).log_prob(tokens).logsumexp(0) - math.log(720)
        weights = log_weights(model, guide, {"tokens": tokens}, num_particles=30_000)
    ratio = (weights - log_px).exp()
    scores = (ratio.mean(0) - 1.0) * 30_000**0.5 / ratio.std(0)
    assert scores.abs().max() < 4.5
    # The check has teeth: the error that it can see, in nats.
    assert (4.5 * ratio.std(0) / 30_000**0.5).max() < 0.05


WORD_ANGLE = torch.arange(7).double() * 2 * math.pi / 7


class FirstWord(SentenceVAE):
    """p(first word = v | z) = softmax_v(4 cos(angle of z - angle of v))."""

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", dist.Categorical(logits=self.scores(z)), obs=tokens[:, 0])

    def scores(self, z):
        return 4.0 * z @ torch.stack([WORD_ANGLE.cos(), WORD_ANGLE.sin()])


@both
def test_training_finds_the_posteriors(tokens, kind):
    """Their directions are known by symmetry, log p(x) by quadrature: the bound comes close."""
    model, guide = build(kind, 2)
    model = FirstWord(prior=model.prior, decoder=model.decoder)
    circle = torch.stack([CIRCLE.cos(), CIRCLE.sin()], -1)
    log_px = model.scores(circle).log_softmax(-1).exp().mean(0).log()[tokens[:, 0]]
    torch.testing.assert_close(log_px, torch.full((4,), -math.log(7)).double())

    @torch.no_grad()
    def gap():
        loss = BetaELBO(num_particles=5000).loss(model, guide, tokens=tokens)
        return log_px.sum().item() + loss

    start = gap()
    objective = BetaELBO(num_particles=8)(model, guide)
    optimizer = torch.optim.Adam(guide.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        objective(tokens=tokens).backward()
        optimizer.step()
    posterior = posterior_of(guide, tokens)
    angle = WORD_ANGLE[tokens[:, 0]]
    directions = torch.stack([angle.cos(), angle.sin()], -1)
    assert (posterior.loc * directions).sum(-1).min() > 0.95
    assert 0.0 < gap() < 0.1 * start


@both
def test_latent_of_one_dimension_is_refused(kind):
    with pytest.raises(ValueError, match="latent_dim must be at least 2, got 1"):
        kind(LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8), 1)


@pytest.mark.parametrize("concentration", [0.0, -1, math.nan, math.inf])
def test_bad_concentration_is_refused(concentration):
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    with pytest.raises(ValueError, match=f"must be positive and finite, got {concentration}"):
        VonMisesFisherGuide(encoder, 3, concentration)
