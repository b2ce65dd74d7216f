# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every bound against its exact value, and every way to run an objective against the others."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, RenyiELBO
from torch import nn

from pyro_textvae.guides import EmptyGuide
from pyro_textvae.infer import (
    CIWAE,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    VIMCO,
    BetaELBO,
    DReG,
    PerDatumELBO,
    RenyiIWAE,
    ThermodynamicELBO,
    WakeSleep,
)
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.nn import LSTMDecoder
from pyro_textvae.priors import StandardNormal
from tests.infer.exact import (
    BOUND,
    LOG_PX,
    ChainGuide,
    ChainModel,
    ScriptedNormal,
    X,
    exact_gradient,
    mean_of_importance_bound,
    mean_of_renyi_bound,
    thermodynamic_bound,
    z_scores,
)
from tests.quadrature import LOG_PX_1D, SENTENCES, TinyTextModel

BETAS = (0.0, 0.1, 0.4)
EVERY = {
    "BetaELBO": lambda **options: BetaELBO(0.7, 4, **options),
    "IWAE": lambda **options: IWAE(4, **options),
    "DReG": lambda **options: DReG(4, **options),
    "STL": lambda **options: STL(4, **options),
    "MIWAE": lambda **options: MIWAE(4, 2, **options),
    "PIWAE": lambda **options: PIWAE(4, 2, **options),
    "CIWAE": lambda **options: CIWAE(4, 0.3, **options),
    "RenyiIWAE": lambda **options: RenyiIWAE(4, 0.5, **options),
    "RenyiIWAE doubly": lambda **options: RenyiIWAE(4, doubly_reparameterised=True, **options),
    "ThermodynamicELBO": lambda **options: ThermodynamicELBO(4, **options),
    "WakeSleep": lambda **options: WakeSleep(4, **options),
    "VIMCO": lambda **options: VIMCO(4, **options),
}
every_objective = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


class StandardGuide(nn.Module):
    """One Gaussian for every sentence."""

    def __init__(self, loc, scale):
        super().__init__()
        self.loc, self.scale = (torch.full((1,), value).double() for value in (loc, scale))

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(self.loc, self.scale).to_event(1))


# Expectations by Gauss-Hermite quadrature: sentence, guide, ELBO, IWAE_2, IWAE_3, VR(.5)_2.
TEXT = [
    (0, 0.0, 1.0, -13.908597891, -11.793179015, -11.0962501, -12.200984788),
    (1, 0.0, 1.0, -21.385437139, -20.002774374, -19.6865735, -20.295757632),
    (1, 0.3, 0.5, -19.478839780, -19.415472370, -19.4020359, -19.444063937),
    (2, 0.0, 1.0, -36.863057605, -34.872767663, -34.3854707, -35.225213495),
]


@pytest.mark.parametrize(("row", "loc", "scale", "elbo", "iwae_2", "iwae_3", "renyi_2"), TEXT)
def test_bounds_of_text_are_exact(row, loc, scale, elbo, iwae_2, iwae_3, renyi_2):
    """A batch of copies of a sentence: |z| < 4.5 fails once in 150,000 seeds when right."""
    model = SentenceVAE(prior=StandardNormal(1).double(), decoder=TinyTextModel(1))
    length = int((SENTENCES[row] != 0).sum())
    tokens = SENTENCES[row : row + 1, :length].expand(12_000, -1)
    with torch.no_grad():
        two, three = (
            PerDatumELBO(count).terms(model, StandardGuide(loc, scale), tokens=tokens)
            for count in (2, 3)
        )
    for objective, terms, exact in [
        (BetaELBO(num_particles=2), two, elbo),
        (IWAE(2), two, iwae_2),
        (IWAE(3), three, iwae_3),
        (VIMCO(2), two, iwae_2),
        (PIWAE(2, 2), two, iwae_2),
        (MIWAE(2, 2), two, elbo),
        (MIWAE(3, 1), three, iwae_3),
        (CIWAE(3, 0.25), three, 0.25 * elbo + 0.75 * iwae_3),
        (RenyiIWAE(2, 0.5), two, renyi_2),
        (ThermodynamicELBO(3, [0.0]), three, elbo),
    ]:
        bound = objective.bound(terms)
        assert bound.shape == (12_000,)
        assert z_scores(bound, exact) < 4.5, type(objective).__name__
    assert elbo < renyi_2 < iwae_2 < iwae_3 < LOG_PX_1D[row]


CASES = {
    "ELBO": (BetaELBO(), mean_of_importance_bound, 1),
    "IWAE": (IWAE(2), mean_of_importance_bound, 2),
    "IWAE of three": (IWAE(3), mean_of_importance_bound, 3),
    "DReG": (DReG(3), mean_of_importance_bound, 3),
    "MIWAE": (MIWAE(6, 2), mean_of_importance_bound, 3),
    "VIMCO": (VIMCO(2), mean_of_importance_bound, 2),
    "VR": (RenyiIWAE(2, 0.5), mean_of_renyi_bound(0.5), 2),
    "VR of negative order": (RenyiIWAE(2, -1.0), mean_of_renyi_bound(-1.0), 2),
    "TVO": (ThermodynamicELBO(1024, BETAS), thermodynamic_bound(BETAS), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_bounds_of_the_linear_gaussian_are_exact(name):
    """The thermodynamic bound has a bias of order 1/K, far below the error at 1024 particles."""
    objective, bound, count = CASES[name]
    exact, _ = exact_gradient(bound, num_particles=count, points=32)
    size = 100_000 if objective.num_particles < 100 else 1000
    with torch.no_grad():
        terms = objective.terms(ChainModel(size), ChainGuide(size), torch.full((size,), X).double())
    assert z_scores(objective.bound(terms), exact) < 4.5


@pytest.mark.parametrize(
    ("kind", "bound", "count"),
    [
        ("elbo", mean_of_importance_bound, 1),
        ("iwae_2", mean_of_importance_bound, 2),
        ("renyi_2", mean_of_renyi_bound(0.5), 2),
        ("thermodynamic", thermodynamic_bound(BETAS), 1),
    ],
)
def test_reference_bounds_are_those_of_the_quadrature_here(kind, bound, count):
    """Given to six decimals. Each lies below log p(x)."""
    found, _ = exact_gradient(bound, num_particles=count, points=64)
    assert found == pytest.approx(BOUND[kind], abs=6e-7)
    assert found < LOG_PX


def test_ciwae_is_the_mean_of_its_two_bounds_on_the_same_draws(pair, tokens):
    terms = PerDatumELBO(5).terms(*pair, tokens=tokens)
    for share in (0.0, 0.3, 1.0):
        expected = share * terms.log_weights.mean(0) + (1 - share) * IWAE(5).bound(terms)
        torch.testing.assert_close(CIWAE(5, share).bound(terms), expected)


def test_groups_of_miwae_share_no_particle(pair, tokens):
    """Six particles in two groups: each particle moves the bound of its own group alone."""
    terms = PerDatumELBO(6).terms(*pair, tokens=tokens)
    log_weights = terms.log_weights
    groups = [log_weights[0::2], log_weights[1::2]]
    expected = sum(group.logsumexp(0) - math.log(3) for group in groups) / 2
    torch.testing.assert_close(MIWAE(6, 2).bound(terms), expected)
    torch.testing.assert_close(MIWAE(6, 1).bound(terms), IWAE(6).bound(terms))
    torch.testing.assert_close(MIWAE(6, 6).bound(terms), log_weights.mean(0))


def test_renyi_bound_of_order_zero_is_the_importance_weighted_one(pair, tokens):
    terms = PerDatumELBO(6).terms(*pair, tokens=tokens)
    torch.testing.assert_close(RenyiIWAE(6, 0.0).bound(terms), IWAE(6).bound(terms))
    falling = [RenyiIWAE(6, alpha).bound(terms) for alpha in (-2.0, 0.0, 0.5, 0.99, 1.01, 3.0)]
    assert all((one > other).all() for one, other in zip(falling, falling[1:], strict=False))
    torch.testing.assert_close(falling[3], terms.log_weights.mean(0), rtol=0, atol=0.05)


def test_thermodynamic_bound_with_fine_steps_is_the_importance_weighted_one(pair, tokens):
    """The integral of E_(pi_beta) log w over beta is log mean w exactly, for the same draws."""
    terms = PerDatumELBO(6).terms(*pair, tokens=tokens)
    fine = ThermodynamicELBO(6, torch.linspace(0, 1, 20_001)[:-1].tolist()).bound(terms)
    torch.testing.assert_close(fine, IWAE(6).bound(terms), rtol=0, atol=1e-3)
    assert (ThermodynamicELBO(6).bound(terms) < fine).all()


def losses_and_gradients(objective, model, guide, seed=3, **batch):
    pyro.set_rng_seed(seed)
    loss = objective(model, guide)(**batch)
    parameters = [*guide.parameters(), *model.parameters()]
    return loss.item(), torch.autograd.grad(loss, parameters)


@every_objective
def test_loss_is_the_value_of_the_differentiable_loss(pair, tokens, make):
    objective = make()
    value, _ = losses_and_gradients(objective, *pair, tokens=tokens)
    pyro.set_rng_seed(3)
    assert objective.loss(*pair, tokens=tokens) == pytest.approx(value, rel=1e-12)
    pyro.set_rng_seed(3)
    with torch.no_grad():
        bound = objective.bound(objective.terms(*pair, tokens=tokens))
    assert value == pytest.approx(-bound.sum().item(), rel=1e-12)
    latest = objective.latest
    assert latest.log_weights.shape == (4, 4)
    assert not latest.log_weights.requires_grad
    assert latest.passes == ()


@every_objective
def test_vectorised_particles_equal_a_loop_at_the_same_noise(make):
    """Value and every gradient, for two latents that depend on each other."""
    noise = torch.randn(2, 4, 7).double()
    x = torch.randn(7).double()
    found = []
    for vectorised in (True, False):
        objective = make(vectorize_particles=vectorised)
        script = noise if vectorised else [iter(rows) for rows in noise]
        model, guide = ChainModel(7, 2), ChainGuide(7, 2, noise=script)
        found.append(losses_and_gradients(objective, model, guide, x=x))
    (value, gradients), (looped_value, looped_gradients) = found
    assert value == pytest.approx(looped_value, rel=1e-12)
    torch.testing.assert_close(gradients, looped_gradients, rtol=1e-10, atol=1e-12)
    assert all(gradient.abs().max() > 1e-4 for gradient in gradients)


@every_objective
@pytest.mark.parametrize("nesting", [1, 3])
def test_nesting_that_is_given_is_not_looked_for(pair, tokens, make, nesting, monkeypatch):
    """With room for plates that are not there, too, every number is the same."""
    expected = losses_and_gradients(make(), *pair, tokens=tokens)
    monkeypatch.setattr("pyro_textvae.infer.per_datum.find_plates", None)
    for given in (nesting, float(nesting)):
        found = losses_and_gradients(make(max_plate_nesting=given), *pair, tokens=tokens)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    in_a_loop = make(max_plate_nesting=nesting, vectorize_particles=False)
    assert math.isfinite(in_a_loop.loss(*pair, tokens=tokens))


class ScoredScript(ScriptedNormal):
    has_rsample = False

    def sample(self, sample_shape=()):
        with torch.no_grad():
            return self.rsample(sample_shape)


def test_vectorised_scores_equal_a_loop_at_the_same_noise(monkeypatch):
    monkeypatch.setattr("tests.infer.exact.ScriptedNormal", ScoredScript)
    test_vectorised_particles_equal_a_loop_at_the_same_noise(EVERY["VIMCO"])
    with pytest.raises(ValueError, match="'z_1' is not reparameterised"):
        test_vectorised_particles_equal_a_loop_at_the_same_noise(EVERY["IWAE"])


@every_objective
def test_vectorised_particles_call_encoder_and_decoder_once(pair, tokens, make):
    model, guide = pair
    calls = []
    guide.encoder.register_forward_hook(lambda *_: calls.append("encoder"))
    score = model.decoder.token_log_prob
    model.decoder.token_log_prob = lambda *args: calls.append("decoder") or score(*args)
    objective = make()
    objective.num_particles = 16
    objective(model, guide)(tokens=tokens)  # the first call looks for the plates too
    calls.clear()
    objective(model, guide)(tokens=tokens).backward()
    assert sorted(calls) == ["decoder", "encoder"]
    assert objective.latest.log_weights.shape == (16, 4)


@every_objective
def test_svi_takes_the_step_that_torch_takes(pair, tokens, make):
    """Plain gradient descent of rate 1 moves every parameter by its negative gradient."""
    model, guide = pair
    _, expected = losses_and_gradients(make(), model, guide, tokens=tokens)
    parameters = [*guide.parameters(), *model.parameters()]
    before = [parameter.detach().clone() for parameter in parameters]
    pyro.set_rng_seed(3)
    SVI(model, guide, pyro.optim.SGD({"lr": 1.0}), loss=make()).step(tokens=tokens)
    for old, new, gradient in zip(before, parameters, expected, strict=True):
        torch.testing.assert_close(old - new, gradient, rtol=1e-8, atol=1e-10)
    assert all(gradient.abs().max() > 1e-8 for gradient in expected)


@every_objective
@pytest.mark.parametrize("vectorised", [True, False])
def test_programs_without_latents_have_their_likelihood_for_a_bound(tokens, make, vectorised):
    decoder = LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6)
    model = LanguageModel(decoder=decoder).double()
    loss = make(vectorize_particles=vectorised)(model, EmptyGuide())(tokens=tokens)
    exact = -poutine.trace(model).get_trace(tokens).log_prob_sum()
    torch.testing.assert_close(loss, exact)
    parameters = list(model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(exact, parameters)
    )


def test_importance_bound_is_pyros_renyi_bound_where_all_sites_are_in_the_plate(pair, tokens):
    """Same seed, same draws: value and gradients."""
    model, guide = pair
    value, gradients = losses_and_gradients(IWAE(5), model, guide, tokens=tokens)
    theirs = RenyiELBO(alpha=0, num_particles=5, max_plate_nesting=1, vectorize_particles=True)
    parameters = [*guide.parameters(), *model.parameters()]
    pyro.set_rng_seed(3)
    their_value = theirs.loss_and_grads(model, guide, tokens=tokens)
    assert value == pytest.approx(their_value, rel=1e-12)
    their_gradients = tuple(parameter.grad for parameter in parameters)
    torch.testing.assert_close(gradients, their_gradients, rtol=1e-9, atol=1e-11)
