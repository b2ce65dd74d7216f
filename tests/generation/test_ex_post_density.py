# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math
import sys

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import Normal

from pyro_textvae.errors import UserError
from pyro_textvae.generation import fit_ex_post_density, sample
from pyro_textvae.guides import DeltaGuide, EmptyGuide, PowerSphericalGuide
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import UniformSphere

SCALE = 0.5
PLACES = torch.tensor([[-3.0, 0.0], [3.0, 1.0]]).double()


class TwoPlaces(nn.Module):
    """Sentences that begin with 4 lie around one place, those that begin with 5 around another."""

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            loc = PLACES[(tokens[:, 0] == 5).long()]
            pyro.sample("z", dist.Normal(loc, SCALE).to_event(1))


def batches(count, share=0.25):
    """Every fourth sentence begins with 5."""
    first = torch.where(torch.arange(count) % round(1 / share) == 0, 5, 4)
    tokens = torch.stack([first, torch.full((count,), 2)], 1)
    return [{"tokens": part} for part in tokens.split(100)]


@pytest.fixture
def fitted(pair):
    return fit_ex_post_density(pair[0], TwoPlaces(), batches(2000), batches(800), num_components=2)


def test_mixture_is_the_aggregate_posterior(fitted):
    """Places to 4.5 standard errors of 500 and 1500 draws, and so the variances and weights."""
    mixture = fitted.mixture
    order = mixture.components.mean[:, 0].argsort()
    counts = torch.tensor([1500.0, 500.0]).double()
    errors = mixture.components.mean[order] - PLACES
    assert (errors.abs() < 4.5 * SCALE / counts.sqrt()[:, None]).all()
    variances = mixture.components.covariance_matrix[order]
    deviations = (variances - SCALE**2 * torch.eye(2)).abs()
    assert (deviations < 4.5 * SCALE**2 * (2 / counts).sqrt()[:, None, None]).all()
    torch.testing.assert_close(mixture.log_weights.exp()[order], counts / 2000, rtol=0, atol=1e-6)


class FarOut(TwoPlaces):
    """Those that begin with 5 lie where no number holds the density of the prior."""

    def forward(self, tokens):
        far = 1 + 1e200 * (tokens[:, :1] == 5).double()
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(far * torch.ones(2).double(), SCALE * far).to_event(1))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_densities_that_are_not_finite_are_counted_and_left_out(pair, share):
    held_out = batches(80, share)
    near = [{"tokens": torch.tensor([[4, 2]] * 40)}]
    found = fit_ex_post_density(pair[0], FarOut(), near, held_out, num_components=2)
    assert found.num_not_finite == 80 * share
    told = "20 of them left out" if share < 1 else "none of 80 held-out latents has a finite dens"
    assert f"warning: {told}" in found.describe()
    assert "nan" not in found.describe()


def test_gain_is_that_over_the_prior(fitted):
    """Held-out log-densities against the exact ones of the two places and of N(0, I)."""
    assert (fitted.site, fitted.num_sentences, fitted.num_held_out) == ("z", 2000, 800)
    entropy = Normal(0.0, SCALE).entropy().item() * 2
    weights = torch.tensor([0.75, 0.25]).double()
    # The places are 12 scales apart: a draw has one of them for sure.
    expected = -entropy + (weights * weights.log()).sum()
    second = (weights * (PLACES.square().sum(-1) + 2 * SCALE**2)).sum()
    under_prior = -0.5 * second - math.log(2 * math.pi)
    # Standard deviations of the terms: 1.0 and 2.0 at most, over 800 sentences.
    assert abs(fitted.log_density - expected) < 4.5 * 1.2 / 800**0.5
    assert abs(fitted.log_prior - under_prior) < 4.5 * 2.0 / 800**0.5
    assert fitted.gain == pytest.approx(fitted.log_density - fitted.log_prior)
    assert 0 < fitted.gain_standard_error < 2.5 / 800**0.5
    assert f"{fitted.gain:+.3f} +-" in fitted.describe()


def test_sentences_from_it(fitted, pair):
    model, _ = pair
    latents = fitted.latents(model, 4000, seed=1)
    near = (latents["z"][:, None] - PLACES).norm(dim=-1).argmin(1)
    # 4.5 standard errors of a share of 0.25 among 4000.
    assert abs(near.double().mean() - 0.25) < 4.5 * (0.25 * 0.75 / 4000) ** 0.5
    assert latents["z"].equal(fitted.latents(model, 4000, seed=1)["z"])
    rows = sample(model, 4000, latents=latents, method="greedy")
    assert rows.shape == (4000, 6)
    # They are decoded from these latents, not from others.
    assert rows.equal(sample(model, 4000, latents=latents, method="greedy", seed=5))
    assert not rows.equal(sample(model, 4000, method="greedy", seed=5))


def test_same_seed_same_fit(fitted, pair):
    again = fit_ex_post_density(pair[0], TwoPlaces(), batches(2000), batches(800), num_components=2)
    assert (again.gain, again.log_prior) == (fitted.gain, fitted.log_prior)


def test_refusals(pair, tokens, monkeypatch):
    model, guide = pair
    one = [{"tokens": tokens}]
    with pytest.raises(ValueError, match="num_components must be at least 1, got 0"):
        fit_ex_post_density(model, guide, one, one, num_components=0)
    with pytest.raises(UserError, match="5 components cannot be fitted to 4 sentences"):
        fit_ex_post_density(model, guide, one, one, num_components=5)
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(UserError, match=r"pip install 'pyro-textvae\[viz\]'"):
        fit_ex_post_density(model, guide, one, one, num_components=2)


def test_latents_that_no_gaussian_has(pair, tokens):
    model, _ = pair
    one = [{"tokens": tokens}]
    model.prior = UniformSphere(2).double()
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=4)
    with pytest.raises(UserError, match="'z' has support Sphere: sample from the prior"):
        fit_ex_post_density(model, PowerSphericalGuide(encoder, 2).double(), one, one)
    decoder = LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6)
    with pytest.raises(UserError, match="the latents here are none: sample from the prior"):
        fit_ex_post_density(LanguageModel(decoder), EmptyGuide(), one, one)


def test_plain_autoencoder_has_one_too(pair, tokens):
    model, guide = pair
    points = DeltaGuide(encoder=guide.encoder, latent_dim=2).double()
    found = fit_ex_post_density(
        model, points, [{"tokens": tokens}], [{"tokens": tokens}], num_components=1
    )
    z = points.posterior(points.encoder(tokens)).mean
    torch.testing.assert_close(found.mixture.mean, z.mean(0), rtol=1e-6, atol=1e-6)


def test_one_sentence_is_too_few(pair, tokens):
    with pytest.raises(UserError, match="at least 2 sentences, and as many held out, got 1"):
        fit_ex_post_density(*pair, [{"tokens": tokens}], [{"tokens": tokens[:1]}], num_components=1)


class TwoSites(nn.Module):
    """A number around the first coordinate of a place, and a second drawn from the first."""

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            loc = PLACES[(tokens[:, 0] == 5).long()]
            first = pyro.sample("z_1", dist.Normal(loc[:, 0], SCALE))
            second = torch.stack([first, loc[:, 1].expand_as(first)], -1)
            pyro.sample("z_2", dist.Normal(second, SCALE).to_event(1))


class TwoPriors(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()).double())

    def forward(self, tokens):
        zero = torch.zeros(2).double()
        with pyro.plate("data", len(tokens)):
            pyro.sample("z_1", dist.Normal(zero[0], self.scale))
            pyro.sample("z_2", dist.Normal(zero, self.scale).to_event(1))


def test_several_latents_are_one_vector():
    """z_2's first coordinate is z_1 and as much noise again: all of its covariance."""
    model = TwoPriors()
    fitted = fit_ex_post_density(model, TwoSites(), batches(2000), batches(400), num_components=2)
    assert fitted.site == "z_1, z_2"
    order = fitted.mixture.components.mean[:, 0].argsort()
    expected = torch.cat([PLACES[:, :1], PLACES], 1)
    errors = fitted.mixture.components.mean[order] - expected
    assert (errors.abs() < 4.5 * SCALE * 2**0.5 / 500**0.5).all()
    covariance = SCALE**2 * torch.tensor([[1.0, 1, 0], [1, 2, 0], [0, 0, 1]]).double()
    found = fitted.mixture.components.covariance_matrix
    assert ((found - covariance).abs() < 4.5 * SCALE**2 * 3 / 500**0.5).all()
    latents = fitted.latents(model, 50, seed=1)
    assert latents["z_1"].shape == (50,)
    assert latents["z_2"].shape == (50, 2)
    # Drawn together: what z_2 is made of is not lost.
    assert torch.corrcoef(torch.stack([latents["z_1"], latents["z_2"][:, 0]]))[0, 1] > 0.9
