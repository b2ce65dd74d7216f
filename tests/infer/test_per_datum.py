# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.nn import PyroModule

from pyro_textvae.infer import BetaELBO, LinearSchedule, log_weights
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import StandardNormal
from tests.quadrature import (
    LOG_PX_1D,
    SENTENCES,
    TinyTextModel,
    elbo_by_quadrature,
    log_px_by_quadrature,
)


class Pinned(dist.Normal):
    """A Gaussian that always draws the same point."""

    def rsample(self, sample_shape=()):
        return self.loc + 0.4 * self.scale


class FixedGuide(PyroModule):
    """The same Gaussian for every sentence."""

    def __init__(self, loc, scale, latent_dim=1):
        super().__init__()
        self.loc = torch.full((latent_dim,), loc, dtype=torch.float64)
        self.scale = torch.full((latent_dim,), scale, dtype=torch.float64)

    def forward(self, tokens, *, size=None):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(self.loc, self.scale).to_event(1))


def tiny_model():
    return SentenceVAE(prior=StandardNormal(1).double(), decoder=TinyTextModel(1))


# Expectations by Gauss-Hermite quadrature: sentence, guide, ELBO, IWAE_2, IWAE_3.
EXACT = [
    (0, 0.0, 1.0, -13.908597891, -11.793179015, -11.0962501),
    (1, 0.0, 1.0, -21.385437139, -20.002774374, -19.6865735),
    (1, 0.3, 0.5, -19.478839780, -19.415472370, -19.4020359),
    (2, 0.0, 1.0, -36.863057605, -34.872767663, -34.3854707),
]


def z_score(values, exact):
    return abs(values.mean().item() - exact) / (values.std().item() / math.sqrt(len(values)))


@pytest.mark.parametrize(("row", "loc", "scale", "elbo", "iwae_2", "iwae_3"), EXACT)
def test_log_weights_have_the_exact_bounds_as_means(row, loc, scale, elbo, iwae_2, iwae_3):
    """|z| < 4.5 at 240,000 draws fails once in 150,000 seeds when right."""
    with torch.no_grad():
        weights = log_weights(
            tiny_model(), FixedGuide(loc, scale), {"tokens": SENTENCES[row : row + 1]}, 240_000
        )
    assert weights.shape == (240_000, 1)
    assert z_score(weights[:, 0], elbo) < 4.5
    assert z_score(weights.reshape(-1, 2).logsumexp(1) - math.log(2), iwae_2) < 4.5
    assert z_score(weights.reshape(-1, 3).logsumexp(1) - math.log(3), iwae_3) < 4.5
    assert elbo < iwae_2 < iwae_3 < LOG_PX_1D[row]


@pytest.mark.parametrize("objective", [Trace_ELBO, TraceMeanField_ELBO, BetaELBO])
def test_bounds_agree_with_quadrature_over_two_latents(pair, tokens, objective):
    """300 losses of 20 particles each against the bound on a 101 x 101 grid, within 4.5 errors."""
    model, guide = pair
    features = guide.encoder(tokens)
    exact = elbo_by_quadrature(
        model.decoder, tokens, guide.loc(features), (0.5 * guide.log_variance(features)).exp()
    ).sum()
    options = {} if objective is BetaELBO else {"max_plate_nesting": 1}
    loss = objective(num_particles=20, vectorize_particles=True, **options)
    losses = torch.tensor([float(loss.loss(model, guide, tokens=tokens)) for _ in range(300)])
    assert z_score(-losses.double(), exact.item()) < 4.5
    assert losses.std() < 0.05 * losses.mean()


def test_log_likelihood_by_weights_agrees_with_quadrature_over_two_latents(pair, tokens):
    """One LSTM decoder, 2-D z: log of the mean weight against a 101 x 101 grid."""
    model, guide = pair
    exact = log_px_by_quadrature(model.decoder, tokens, 2)
    with torch.no_grad():
        weights = log_weights(model, guide, {"tokens": tokens}, 40_000)
    relative = (weights - exact).exp()  # mean exactly 1
    score = (relative.mean(0) - 1).abs() / (relative.std(0) / math.sqrt(len(relative)))
    assert (score < 4.5).all()
    assert (relative.std(0) > 1e-3).all()


def test_unweighted_bound_is_trace_mean_field_elbo(pair, tokens):
    model, guide = pair
    pyro.set_rng_seed(3)
    theirs = TraceMeanField_ELBO()(model, guide)(tokens=tokens)
    pyro.set_rng_seed(3)
    ours = BetaELBO()(model, guide)(tokens=tokens)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    for one, other in zip(
        torch.autograd.grad(ours, list(guide.parameters())),
        torch.autograd.grad(theirs, list(guide.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_kl_weight_multiplies_the_closed_form_kl(pair, tokens):
    model, guide = pair
    losses = []
    for weight in (0.0, 0.25, 1.0):
        pyro.set_rng_seed(5)
        losses.append(BetaELBO(weight).loss(model, guide, tokens=tokens))
    loc, scale = guide.loc(guide.encoder(tokens)), guide.log_variance(guide.encoder(tokens))
    kl = 0.5 * (loc.square() + scale.exp() - 1 - scale).sum().item()
    assert losses[2] - losses[0] == pytest.approx(kl, rel=1e-10)
    assert losses[1] - losses[0] == pytest.approx(0.25 * kl, rel=1e-10)


def test_vectorised_particles_equal_a_loop(pair, tokens):
    model, guide = pair
    count = 20_000
    with torch.no_grad():
        vectorised = BetaELBO(num_particles=count).terms(model, guide, tokens=tokens)
        looped = BetaELBO(num_particles=300, vectorize_particles=False).terms(
            model, guide, tokens=tokens
        )
    assert looped.log_weights.shape == (300, 4)
    one, other = vectorised.log_weights, looped.log_weights
    error = (one.var(0) / count + other.var(0) / 300).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() / error < 4.5).all()
    torch.testing.assert_close(vectorised.total_kl[0], looped.total_kl[0], rtol=1e-12, atol=0)


def test_weights_of_a_sentence_ignore_its_batch(pair, tokens):
    model, guide = pair

    class PinnedGuide(PyroModule):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                loc = guide.loc(guide.encoder(tokens))
                pyro.sample("z", Pinned(loc, torch.ones_like(loc)).to_event(1))

    together = log_weights(model, PinnedGuide(), {"tokens": tokens})[0]
    for row in range(4):
        alone = log_weights(model, PinnedGuide(), {"tokens": tokens[row : row + 1]})[0, 0]
        assert alone.item() == pytest.approx(together[row].item(), rel=1e-12)


def test_subsample_scale_stays_out_of_the_weights_and_multiplies_the_loss(pair, tokens):
    model, guide = pair
    plain = pyro.poutine.scale(model, 3.0), pyro.poutine.scale(guide, 3.0)
    pyro.set_rng_seed(2)
    scaled_loss = BetaELBO(num_particles=4).loss(*plain, tokens=tokens)
    pyro.set_rng_seed(2)
    loss = BetaELBO(num_particles=4).loss(model, guide, tokens=tokens)
    assert scaled_loss == pytest.approx(3.0 * loss, rel=1e-12)
    pyro.set_rng_seed(2)
    scaled = log_weights(*plain, {"tokens": tokens}, 4)
    pyro.set_rng_seed(2)
    torch.testing.assert_close(scaled, log_weights(model, guide, {"tokens": tokens}, 4))


def test_scale_on_one_program_only_is_refused(pair, tokens):
    model, guide = pair
    with pytest.raises(ValueError, match="'z' is scaled by .* give KL weights to the objective"):
        BetaELBO().loss(model, pyro.poutine.scale(guide, 0.5), tokens=tokens)


def test_masked_sentences_count_nothing(pair, tokens):
    model, guide = pair
    keep = torch.tensor([True, False, True, True])
    masked = pyro.poutine.mask(model, mask=keep), pyro.poutine.mask(guide, mask=keep)
    weights = log_weights(*masked, {"tokens": tokens}, 3)
    assert (weights[:, 1] == 0).all()
    assert (weights[:, keep] != 0).all()


def test_dimensions_of_a_plate_inside_are_summed():
    """Three independent latents in a plate of their own: weights and KLs add up over it."""

    class Inner(PyroModule):
        def __init__(self, loc):
            super().__init__()
            self.loc = loc

        def forward(self, tokens):
            with pyro.plate("data", len(tokens), dim=-1), pyro.plate("inner", 3, dim=-2):
                pyro.sample("z", Pinned(torch.full((3, 1), self.loc), torch.ones(3, 1)))

    objective = BetaELBO(vectorize_particles=False)
    terms = objective.terms(Inner(0.0), Inner(1.0), tokens=torch.zeros(5, 1))
    assert terms.kl["z"].shape == (1, 5)
    torch.testing.assert_close(terms.kl["z"], torch.full((1, 5), 1.5))
    # log N(1.4; 1, 1) - log N(1.4; 0, 1) = (1.96 - 0.16) / 2, three times.
    torch.testing.assert_close(terms.log_ratio["z"], torch.full((1, 5), 2.7))


def test_bound_is_the_mean_over_particles(pair, tokens):
    model, guide = pair
    objective = BetaELBO(0.5, num_particles=6)
    terms = objective.terms(model, guide, tokens=tokens)
    expected = (terms.log_likelihood - 0.5 * terms.kl["z"]).sum(0) / 6
    torch.testing.assert_close(objective.bound(terms), expected)


def test_site_outside_the_plate_is_named(tokens):
    class Stray(SentenceVAE):
        def forward(self, tokens=None, *, size=None):
            pyro.sample("stray", dist.Normal(torch.zeros(()).double(), 1.0))
            return super().forward(tokens)

    def guide(tokens):
        pyro.sample("stray", dist.Normal(torch.zeros(()).double(), 1.0))
        FixedGuide(0.0, 1.0)(tokens)

    model = Stray(prior=StandardNormal(1).double(), decoder=TinyTextModel(1))
    with pytest.raises(ValueError, match="'stray' is outside the plate 'data'"):
        BetaELBO().loss(model, guide, tokens=SENTENCES)


def test_deterministic_site_outside_the_plate_is_no_matter(pair, tokens):
    model, guide = pair

    class WithFact(PyroModule):
        def forward(self, tokens):
            pyro.deterministic("fact", torch.ones(()))
            return model(tokens)

    pyro.set_rng_seed(1)
    with_fact = BetaELBO(num_particles=3).loss(WithFact(), guide, tokens=tokens)
    pyro.set_rng_seed(1)
    assert with_fact == BetaELBO(num_particles=3).loss(model, guide, tokens=tokens)


def test_guide_without_reparameterisation_is_refused_in_training():
    class Discrete(PyroModule):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                pyro.sample("z", dist.Poisson(torch.ones(1).double()).to_event(1))

    with pytest.raises(ValueError, match="'z' is not reparameterised"):
        BetaELBO()(tiny_model(), Discrete())(tokens=SENTENCES)


@pytest.mark.parametrize("order", ["model's", "reversed"])
def test_kl_of_two_latents_is_right_in_whatever_order_the_guide_draws_them(order):
    """p(a) p(b | a), both unit steps; q(a, b) is the prior itself, so every KL adds up to zero.

    Drawn as q(b) q(a | b), the closed form of each factor would not be its share of the KL.
    """

    class Model(PyroModule):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                a = pyro.sample("a", dist.Normal(torch.zeros(len(tokens)), 1.0))
                pyro.sample("b", dist.Normal(a, 1.0))

    class Guide(PyroModule):
        def forward(self, tokens):
            if order == "model's":
                return Model.forward(self, tokens)
            with pyro.plate("data", len(tokens)):
                b = pyro.sample("b", dist.Normal(torch.zeros(len(tokens)), 2.0**0.5))
                return pyro.sample("a", dist.Normal(b / 2, 0.5**0.5))

    terms = BetaELBO(num_particles=20_000).terms(Model(), Guide(), tokens=torch.zeros(3, 1))
    assert terms.log_weights.abs().max() < 1e-4
    # 60,000 draws, 4.5 standard errors: below 0.02 nats. Closed forms alone would be far off.
    kl = terms.total_kl.flatten().double()
    assert abs(kl.mean().item()) <= 4.5 * kl.std().item() / len(kl) ** 0.5 + 1e-6
    assert kl.std() < 1.0


def test_schedule_advances_by_hand_and_survives_saving():
    objective = BetaELBO(LinearSchedule(4, start=0.2))
    weights = []
    for _ in range(6):
        weights.append(objective.kl_weight)
        objective.advance()
    assert weights == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    other = BetaELBO(LinearSchedule(4, start=0.2))
    other.load_state_dict(objective.state_dict())
    assert other.step == 6


@pytest.mark.parametrize(
    "objective", [Trace_ELBO, TraceMeanField_ELBO, BetaELBO], ids=lambda cls: cls.__name__
)
def test_pair_trains_in_plain_svi(pair, tokens, objective):
    model, guide = pair
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss=objective())
    losses = [svi.step(tokens=tokens) for _ in range(150)]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    names = set(pyro.get_param_store().keys())
    assert {n for n in names if n.startswith("guide")}
    assert {n for n in names if n.startswith("model")}


def test_number_of_particles_must_be_positive():
    with pytest.raises(ValueError, match="num_particles must be at least 1, got 0"):
        BetaELBO(num_particles=0)
