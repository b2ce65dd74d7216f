# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import inspect
import itertools

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.guides import PowerSphericalGuide
from pyro_textvae.infer import (
    BetaELBO,
    FreeBits,
    MaximumMeanDiscrepancy,
    TargetKL,
)
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import GaussianMixture, UniformSphere
from pyro_textvae.testing import ContractError, check_pair

KINDS = [
    {"per": "dimension", "over": "sentence"},
    {"per": "dimension", "over": "batch_mean"},
    {"per": "site", "over": "sentence"},
    {"per": "site", "over": "batch_mean"},
]


def test_kinds_of_free_bits_differ(pair, tokens):
    """At one threshold; a mean of maxima is above the maximum of the mean."""
    terms = BetaELBO().terms(*pair, tokens=tokens)
    of_dimension, of_mean_dimension, of_site, of_mean_site = (
        FreeBits(0.3, **kind)(terms).mean().item() for kind in KINDS
    )
    values = (of_dimension, of_mean_dimension, of_site, of_mean_site)
    assert all(abs(a - b) > 1e-2 for a, b in itertools.combinations(values, 2))
    assert of_dimension > of_mean_dimension > of_mean_site
    assert of_site > of_mean_site > terms.total_kl.mean().item() - 1e-12


class Program:
    """A model of latents z_1 and z_2, (N, 1), and the sum of both with noise."""

    def __init__(self, prior_of_second=lambda first: dist.Normal(torch.zeros_like(first), 1.0)):
        self.prior_of_second = prior_of_second

    def __call__(self, tokens):
        with pyro.plate("data", len(tokens)):
            first = pyro.sample("z_1", dist.Normal(torch.zeros(1).double(), 1.0).to_event(1))
            second = pyro.sample("z_2", self.prior_of_second(first).to_event(1))
            pyro.sample("x", dist.Normal((first + second).sum(-1), 1.0), obs=tokens)


def guide_of(**locs):
    """Unit Gaussians of given locs, (N, 1) each, drawn in the given order."""

    def guide(tokens):
        with pyro.plate("data", len(tokens)):
            for name, loc in locs.items():
                pyro.sample(name, dist.Normal(loc, 1.0).to_event(1))

    return guide


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_at_equality_free_bits_have_the_gradient_of_the_kl(kind):
    """KL(N(2, 1), N(0, 1)) is 2 in floating point too; z_1 has 0, z_2 has 2."""
    numbers = torch.zeros(3).double()
    loc = torch.full((3, 1), 2.0, dtype=torch.float64, requires_grad=True)
    guide = guide_of(z_1=torch.zeros(3, 1).double(), z_2=loc)
    for nats, expected, slope in ((2.0, 4.0, 2.0), (2.1, 4.2, 0.0), (1.9, 3.9, 2.0)):
        value = FreeBits(nats, **kind)(BetaELBO().terms(Program(), guide, tokens=numbers))
        torch.testing.assert_close(value, torch.full_like(numbers, expected), rtol=1e-12, atol=0)
        (gradient_of_loc,) = torch.autograd.grad(value.sum(), loc)
        assert torch.equal(gradient_of_loc, torch.full_like(loc, slope))


def test_at_its_target_the_distance_has_no_gradient():
    loc = torch.full((3, 1), 2.0, dtype=torch.float64, requires_grad=True)
    guide = guide_of(z_1=torch.zeros(3, 1).double(), z_2=loc)
    terms = BetaELBO().terms(Program(), guide, tokens=torch.zeros(3).double())
    found = TargetKL(2.0)(terms)
    assert torch.equal(found, torch.zeros(3).double())
    assert torch.equal(torch.autograd.grad(found.sum(), loc)[0], torch.zeros_like(loc))


def test_dimensions_need_a_guide_in_the_order_of_the_model():
    """KL(q(z_2), p(z_2 | z_1)) at a draw of z_1 is not the KL when z_1 is drawn after z_2."""
    model = Program(lambda first: dist.Normal(first, 1.0))
    loc = torch.ones(3, 1).double()
    numbers = torch.zeros(3).double()
    in_order = BetaELBO().terms(model, guide_of(z_1=loc, z_2=loc), tokens=numbers)
    assert FreeBits(0.1, per="dimension")(in_order).shape == (3,)
    reversed_order = BetaELBO().terms(model, guide_of(z_2=loc, z_1=loc), tokens=numbers)
    with pytest.raises(ValueError, match="'z_2' has no closed form for each dimension, for the mo"):
        FreeBits(0.1, per="dimension")(reversed_order)
    assert FreeBits(0.1)(reversed_order).shape == (3,)


@pytest.mark.parametrize("over", ["sentence", "batch_mean"])
def test_a_sphere_has_no_dimensions_to_free_and_says_so_before_the_first_step(tokens, over):
    sizes = {"vocab_size": 7, "embedding_dim": 3, "hidden_dim": 4}
    decoder = LSTMDecoder(**sizes, latent_dim=3, max_length=6)
    sphere = (
        SentenceVAE(prior=UniformSphere(3), decoder=decoder),
        PowerSphericalGuide(encoder=LSTMEncoder(**sizes), latent_dim=3),
    )
    objective = BetaELBO(constraint=FreeBits(0.5, per="dimension", over=over))
    with pytest.raises(ContractError, match="site 'z' has no value for each dimension") as caught:
        check_pair(*sphere, objective, {"tokens": tokens})
    assert 'free_bits and per="site"' in str(caught.value)
    for works in (FreeBits(0.5), TargetKL(1.0), MaximumMeanDiscrepancy(10.0)):
        check_pair(*sphere, BetaELBO(constraint=works), {"tokens": tokens})


FORMER = [
    "free_bits_per_dimension",
    "free_bits_per_dimension_of_batch_mean",
    "free_bits_per_site",
    "free_bits_per_site_of_batch_mean",
]


@pytest.mark.parametrize(("former", "kind"), list(zip(FORMER, KINDS, strict=True)), ids=FORMER)
def test_a_former_name_is_the_constraint_with_its_options_given(pair, tokens, former, kind):
    """``per`` and ``over`` are in the name, so that giving them besides is refused as unused."""
    zoo.check_name("constraints", TrainConfig(constraint=former).constraint)
    loaded = zoo.load("constraints", former)
    assert issubclass(loaded, FreeBits)
    assert list(inspect.signature(loaded).parameters) == ["nats"]
    terms = BetaELBO().terms(*pair, tokens=tokens)
    built = zoo.build(loaded, {"nats": 0.3})
    assert torch.equal(built(terms), FreeBits(0.3, **kind)(terms))
    assert former not in zoo.names("constraints")


def test_noise_of_a_drawn_kl_that_is_clamped_is_warned_of(pair, tokens):
    """Clamped sentence by sentence it pays more than the mean does; the mean over a batch less."""
    model, guide = pair
    closed = BetaELBO().terms(model, guide, tokens=tokens)
    model.prior = GaussianMixture(2, num_components=1, learned=False, spread=1e-9).double()
    drawn = BetaELBO().terms(model, guide, tokens=tokens)
    assert FreeBits(2.0).warnings(closed) == []
    (text,) = FreeBits(2.0).warnings(drawn)
    assert "the KL of 'z' has no closed form" in text
    assert "before they carry 2 nats" in text
    assert FreeBits(2.0, over="batch_mean").warnings(drawn) == []
    assert (
        FreeBits(2.0).warnings(BetaELBO(num_particles=4).terms(model, guide, tokens=tokens)) == []
    )
    nats = closed.total_kl.mean().item()
    many = [BetaELBO().terms(model, guide, tokens=tokens) for _ in range(200)]
    by_sentence, by_batch = (
        torch.stack([FreeBits(nats, over=over)(terms).mean() for terms in many]).mean().item()
        for over in ("sentence", "batch_mean")
    )
    exact = FreeBits(nats)(closed).mean().item()
    assert by_sentence > exact + 0.1
    assert abs(by_batch - exact) < abs(by_sentence - exact)
    assert TargetKL(2.0).warnings(drawn) == []
