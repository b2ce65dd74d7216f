# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Guides over the plane, against quadrature."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceMeanField_ELBO

from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.proposals import AdaptiveProposal, RefinedProposal, WidenedProposal
from pyro_textvae.guides import (
    FullCovarianceGuide,
    GaussianGuide,
    GaussianMixtureGuide,
    InverseAutoregressiveFlowGuide,
    LowRankGuide,
    SplineFlowGuide,
)
from pyro_textvae.infer import STL, BetaELBO, DReG
from pyro_textvae.nn import LSTMEncoder
from tests.quadrature import log_px_by_quadrature

FEATURES = 8
KINDS = {
    "gaussian": GaussianGuide,
    "full_covariance": FullCovarianceGuide,
    "low_rank": LowRankGuide,
    "inverse_autoregressive_flow": InverseAutoregressiveFlowGuide,
    "spline_flow": SplineFlowGuide,
    "gaussian_mixture": GaussianMixtureGuide,
}
IN_CLOSED_FORM = ("gaussian", "full_covariance", "low_rank")
SMOOTH = [kind for kind in KINDS if kind != "spline_flow"]
FLOWS = ("inverse_autoregressive_flow", "spline_flow")


def build(kind, latent_dim=2, strength=2.0, **options):
    """In float64, with weights at which every part of the guide shows."""
    pyro.set_rng_seed(3)
    guide = KINDS[kind](
        encoder=LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=FEATURES),
        latent_dim=latent_dim,
        **options,
    ).double()
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.mul_(strength)
    return guide.eval()


def plane():
    """Points ``(241^2, 2)`` and the area of each."""
    line = torch.linspace(-24.0, 24.0, 241, dtype=torch.float64)
    return torch.cartesian_prod(line, line), (line[1] - line[0]).item() ** 2


def score(z):
    """A function without symmetry, which tells the coordinates apart."""
    return (1.3 * z[..., 0] + 0.4 * z[..., 1]).sin() + 0.3 * z[..., 0] * z[..., 1]


@pytest.fixture(scope="module")
def features():
    """Of two sentences, ``(2, 8)``."""
    return torch.linspace(-0.9, 0.9, 2 * FEATURES).double().sin().reshape(2, FEATURES)


@pytest.mark.parametrize("kind", SMOOTH)
def test_density_integrates_to_one(kind, features):
    guide = build(kind)
    z, area = plane()
    with torch.no_grad():
        total = guide.posterior(features).log_prob(z.unsqueeze(1)).exp().sum(0) * area
    # The trapezoid rule is exact for Gaussians; the networks of a flow have kinks in the curvature.
    tolerance = 1e-4 if kind in FLOWS else 1e-9
    torch.testing.assert_close(total, torch.ones(2).double(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", SMOOTH)
def test_draws_and_their_gradients_are_those_of_the_density(kind, features):
    """Means over draws against quadrature, and their derivatives in the encoder's features."""
    guide = build(kind)
    row = features[:1].clone().requires_grad_()
    z, area = plane()
    density = guide.posterior(row).log_prob(z.unsqueeze(1)).exp().squeeze(1)
    mean = (density * score(z)).sum() * area
    (gradient,) = torch.autograd.grad(mean, row)
    value, value_error, slope, slope_error = by_draws(guide, features, 10_000)
    # Of 45 comparisons, one is above 4.5 by chance with a probability of 3e-4.
    assert ((value - mean) / value_error).abs() < 4.5
    assert ((slope - gradient[0]) / slope_error).abs().max() < 4.5
    # The check has teeth: the gradient is many times its error.
    assert (gradient[0] / slope_error).abs().max() > 20


def test_draws_of_splines_are_those_of_their_density(features):
    """The density has narrow ridges, which no grid resolves: it is sampled, at half the sharpness.

    Every number comes twice: from the guide's draws, and from its density at draws of a wide
    Gaussian alone.
    """
    guide, count = build("spline_flow", strength=1.5), 20_000
    rows = features[:1].repeat(count, 1).requires_grad_()
    with torch.no_grad():
        scale = 1.5 * (0.5 * guide.log_variance(features[:1])).exp()
        wide = dist.Normal(guide.loc(features[:1]), scale).to_event(1)
        z = wide.sample((count,)).squeeze(1)
    weights = (guide.posterior(rows).log_prob(z) - wide.log_prob(z.unsqueeze(1)).squeeze(1)).exp()
    assert ((weights.mean() - 1.0) / (weights.std() / count**0.5)).abs() < 4.5
    others = weights * score(z)
    (slopes,) = torch.autograd.grad(others.sum(), rows)
    value, value_error, slope, slope_error = by_draws(guide, features, count)
    error = (value_error.square() + others.var() / count).sqrt()
    assert ((value - others.mean()) / error).abs() < 4.5
    error = (slope_error.square() + slopes.var(0) / count).sqrt()
    assert ((slope - slopes.mean(0)) / error).abs().max() < 4.5
    assert (slope / error).abs().max() > 10


def by_draws(guide, features, count):
    """Mean of the score over draws, its gradient in the features, and the errors of both."""
    rows = features[:1].repeat(count, 1).requires_grad_()
    values = score(guide.posterior(rows).rsample())
    (slopes,) = torch.autograd.grad(values.sum(), rows)
    found = values.detach()
    return (
        found.mean(),
        found.std() / count**0.5,
        slopes.mean(0),
        slopes.std(0) / count**0.5,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_a_draw_has_the_density_of_the_draw(kind, tokens):
    guide = build(kind, latent_dim=4)
    posterior = guide.posterior(guide.encoder(tokens)).expand((3, len(tokens)))
    z = posterior.rsample()
    at_draw = posterior.log_prob(z)
    torch.testing.assert_close(posterior.log_prob(z.detach().clone()), at_draw, rtol=0, atol=1e-6)
    moved = posterior.log_prob(z.detach() + 0.1)
    assert (moved - at_draw).abs().min() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_draws_without_gradient_still_give_one_to_the_density(kind, tokens):
    guide = build(kind, latent_dim=3)
    posterior = guide.posterior(guide.encoder(tokens))
    z = posterior.sample((2,))
    assert z.shape == (2, 4, 3)
    assert not z.requires_grad
    gradients = torch.autograd.grad(posterior.log_prob(z).sum(), list(guide.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("kind", FLOWS)
def test_a_flow_scores_its_own_draws_without_inversion(kind, tokens):
    guide = build(kind, latent_dim=5, num_flow_steps=3)
    runs = []
    for step in guide.steps:
        step.nn.register_forward_hook(lambda *_: runs.append(1))
    posterior = guide.posterior(guide.encoder(tokens)).expand((2, 4))
    posterior.log_prob(posterior.rsample())
    assert len(runs) == 3
    posterior.log_prob(torch.zeros(2, 4, 5).double())
    assert len(runs) >= 3 + 3 * 5


@pytest.mark.parametrize("kind", FLOWS)
def test_steps_of_a_flow_run_both_ways(kind, features):
    """Each coordinate of a draw depends on the noise of the other."""
    posterior = build(kind).posterior(features[0])

    def draw(noise):
        for transform in posterior.transforms:
            noise = transform(noise)
        return noise

    slopes = torch.autograd.functional.jacobian(draw, torch.tensor([0.3, -0.4]).double())
    assert slopes.abs().min() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_expansion_keeps_the_class(kind, tokens):
    guide = build(kind)
    posterior = guide.posterior(guide.encoder(tokens))
    assert type(posterior.expand((3, 4))) is type(posterior)
    assert posterior.expand((3, 4)).rsample().shape == (3, 4, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", [BetaELBO, DReG, STL])
def test_objectives_run_the_encoder_once_for_all_particles(kind, objective, pair, tokens):
    guide, runs = build(kind), []
    loss_module = objective(num_particles=5)(pair[0], guide)
    # The first call looks for the plates of the programs too.
    loss_module(tokens=tokens)
    guide.encoder.register_forward_hook(lambda *_: runs.append(1))
    loss = loss_module(tokens=tokens)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in guide.parameters())
    assert len(runs) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_closed_forms_are_found(kind, pair, tokens):
    guide = build(kind)
    terms = BetaELBO(num_particles=2).terms(pair[0], guide, tokens=tokens)
    assert terms.closed_form == ({"z"} if kind in IN_CLOSED_FORM else set())


@pytest.mark.parametrize("kind", ["full_covariance", "low_rank"])
def test_mean_field_bound_takes_the_closed_form(kind, pair, tokens, monkeypatch):
    """It falls back to a sampled KL without a word, so it is watched."""
    from pyro.infer import trace_mean_field_elbo

    found = []

    def watched(p, q, divergence=trace_mean_field_elbo.kl_divergence):
        found.append(divergence(p, q))
        return found[-1]

    monkeypatch.setattr(trace_mean_field_elbo, "kl_divergence", watched)
    guide = build(kind)
    objective = TraceMeanField_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    assert math.isfinite(objective.loss(pair[0], guide, tokens=tokens))
    posterior = guide.posterior(guide.encoder(tokens))
    prior = pair[0].prior()
    expected = torch.distributions.kl_divergence(posterior, prior)
    assert found
    torch.testing.assert_close(found[-1], expected.expand(found[-1].shape))


@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_agrees_with_quadrature(kind, pair, tokens):
    guide = build(kind, strength=1.0)
    result = log_likelihood(pair[0], guide, [{"tokens": tokens}], num_samples=2000, seed=1)
    exact = log_px_by_quadrature(pair[0].decoder, tokens, 2)
    assert ((result.log_px - exact) / result.standard_error).abs().max() < 4.5
    # The check has teeth: the error that it can see, in nats.
    assert (4.5 * result.standard_error).max() < 0.5


@pytest.mark.parametrize("kind", ["full_covariance", "low_rank"])
@pytest.mark.parametrize("proposal", [WidenedProposal(), AdaptiveProposal(), RefinedProposal()])
def test_gaussians_with_a_covariance_have_better_proposals(kind, proposal, pair, tokens):
    guide = build(kind, strength=1.0)
    result = log_likelihood(
        pair[0], guide, [{"tokens": tokens}], num_samples=2000, seed=1, proposal=proposal
    )
    exact = log_px_by_quadrature(pair[0].decoder, tokens, 2)
    assert not result.notes
    assert ((result.log_px - exact) / result.standard_error).abs().max() < 4.5
    assert (4.5 * result.standard_error).max() < 0.5


@pytest.mark.parametrize("kind", [*FLOWS, "gaussian_mixture"])
def test_of_other_guides_the_proposal_starts_from_the_gaussian_near_them(kind, pair, tokens):
    batches = [{"tokens": tokens}]
    result = log_likelihood(pair[0], build(kind), batches, 8, proposal=WidenedProposal())
    assert "starts from the Gaussian with the mean and covariance" in result.notes[0]


@pytest.mark.parametrize("kind", KINDS)
def test_information_is_found(kind, pair, tokens):
    found = information(pair[0], build(kind), [{"tokens": tokens}])
    assert found.mutual_information <= math.log(4) + 4 * found.mutual_information_standard_error
    # Where the KL is in closed form, the sampled one agrees; these few draws are within 1 nat.
    assert abs(found.kl - found.sampled_kl) < 1.0


@pytest.mark.parametrize("kind", FLOWS)
def test_mutual_information_of_a_flow_is_left_out_where_it_takes_hours(kind, pair, tokens):
    guide, batches = build(kind), [{"tokens": tokens.repeat(33, 1)}]
    without = information(pair[0], guide, batches, costly_pairs=0)
    assert without.mutual_information is None
    asked = information(pair[0], guide, batches, num_draws=1, total_correlation=False)
    # Of 4 sentences, 33 times each: at most ln 4, but for the noise of 132 draws.
    error = asked.mutual_information_standard_error
    assert 0 < asked.mutual_information < math.log(4) + 4 * error


@pytest.mark.parametrize("kind", ["full_covariance", "low_rank", *FLOWS])
def test_latents_depend_on_each_other(kind, tokens):
    """What these guides are for: a correlation that a diagonal Gaussian has not."""
    guide = build(kind)
    with torch.no_grad():
        z = guide.posterior(guide.encoder(tokens)).sample((4000,))
    z = z - z.mean(0)
    correlation = (z[..., 0] * z[..., 1]).mean(0) / z.square().mean(0).prod(-1).sqrt()
    # The standard error of a correlation of 0 is 4000 ** -0.5 = 0.016.
    assert correlation.abs().max() > 5 * 0.016


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("full_covariance", {"latent_dim": 1}, "latent_dim must be at least 2, got 1"),
        ("low_rank", {"rank": 3}, r"rank must be at most latent_dim \(2\), got 3"),
        ("low_rank", {"rank": 0}, "rank must be at least 1, got 0"),
        (
            "inverse_autoregressive_flow",
            {"num_flow_steps": 0},
            "num_flow_steps must be at least 1, got 0",
        ),
        (
            "inverse_autoregressive_flow",
            {"flow_hidden_dim": 1},
            "flow_hidden_dim must be at least 2, got 1",
        ),
        ("spline_flow", {"bound": 0.0}, "bound must be positive and finite, got 0.0"),
        ("spline_flow", {"num_bins": 1}, "num_bins must be at least 2, got 1"),
        (
            "gaussian_mixture",
            {"num_posterior_components": 1},
            "num_posterior_components must be at least 2, got 1",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        build(kind, **options)


@pytest.mark.parametrize("kind", ["full_covariance", "low_rank"])
def test_scales_survive_features_that_ask_for_none(kind, tokens):
    guide = build(kind).float()
    with torch.no_grad():
        guide.scale.bias.fill_(-1e4)
    trace = poutine.trace(guide).get_trace(tokens)
    trace.compute_log_prob()
    assert trace.nodes["z"]["log_prob"].isfinite().all()
