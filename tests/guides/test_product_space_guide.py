# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from pyro import poutine

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.generation import interpolate
from pyro_textvae.generation.decoding import posterior_point
from pyro_textvae.guides import GaussianGuide, ProductSpaceGuide
from pyro_textvae.infer import STL, BetaELBO, DReG
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import ProductSpace
from pyro_textvae.testing import ContractError, check_guide

CIRCLE = torch.arange(180).double() * 2 * math.pi / 180
LINE = torch.linspace(-8.0, 8.0, 161, dtype=torch.float64)


def build(latent_dim=3):
    decoder = LSTMDecoder(
        vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=latent_dim, max_length=6
    )
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    model = SentenceVAE(prior=ProductSpace(latent_dim), decoder=decoder).double().eval()
    guide = ProductSpaceGuide(encoder=encoder, latent_dim=latent_dim).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model, guide


def cylinder():
    """Points of a circle times a line ``(180 x 161, 3)``, and the log of the measure of each."""
    angle, height = torch.cartesian_prod(CIRCLE, LINE).T
    points = torch.stack([angle.cos(), angle.sin(), height], -1)
    return points, math.log(2 * math.pi / 180) + math.log((LINE[1] - LINE[0]).item())


@pytest.mark.parametrize("part", ["prior", "posterior"])
def test_density_integrates_to_one(part, tokens):
    model, guide = build()
    points, log_measure = cylinder()
    if part == "prior":
        log_density = model.prior().log_prob(points)
    else:
        posterior = guide.posterior(guide.encoder(tokens))
        log_density = posterior.log_prob(points.unsqueeze(1))
    total = (log_density.logsumexp(0) + log_measure).exp()
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-9)


def test_kl_is_in_closed_form_and_agrees_with_quadrature(tokens):
    model, guide = build()
    points, log_measure = cylinder()
    terms = BetaELBO(num_particles=2).terms(model, guide, tokens=tokens)
    assert terms.closed_form == {"z"}
    log_q = guide.posterior(guide.encoder(tokens)).log_prob(points.unsqueeze(1))
    log_ratio = log_q - model.prior().log_prob(points).unsqueeze(1)
    kl = (log_q.exp() * log_ratio).sum(0) * math.exp(log_measure)
    torch.testing.assert_close(terms.kl["z"][0], kl, rtol=0, atol=1e-9)


def test_likelihood_agrees_with_quadrature(tokens):
    model, guide = build()
    points, log_measure = cylinder()
    with torch.no_grad():
        log_likelihoods = model.decoder(points.unsqueeze(1)).log_prob(tokens)
    log_joint = log_likelihoods + model.prior().log_prob(points).unsqueeze(1)
    exact = log_joint.logsumexp(0) + log_measure
    found = log_likelihood(model, guide, [{"tokens": tokens}], num_samples=3000, seed=1)
    assert ((found.log_px - exact) / found.standard_error).abs().max() < 4.5
    # The check has teeth: the error that it can see, in nats.
    assert (4.5 * found.standard_error).max() < 0.3


@pytest.mark.parametrize("objective", [BetaELBO, DReG, STL])
def test_objectives_have_a_gradient_for_every_parameter(objective, tokens):
    model, guide = build(latent_dim=4)
    objective(num_particles=3)(model, guide)(tokens=tokens).backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in guide.parameters())


def test_points_that_stand_for_a_posterior_lie_on_the_sphere(tokens):
    model, guide = build(latent_dim=4)
    posterior = poutine.trace(guide).get_trace(tokens).nodes["z"]["fn"]
    point = posterior_point(posterior)
    assert posterior.support.check(point).all()
    torch.testing.assert_close(point[..., 3], posterior.mean[..., 3])
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    interpolate(model, guide, {"tokens": tokens[:2]}, steps=5)
    norms = torch.cat([z.reshape(-1, 4) for z in seen])[:, :3].norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_other_supports_are_refused():
    model, guide = build()
    check_guide(guide, model)
    encoder = LSTMEncoder(vocab_size=7, embedding_dim=3, hidden_dim=8)
    with pytest.raises(ContractError, match="has support Blocks"):
        check_guide(GaussianGuide(encoder, 3), model)


@pytest.mark.parametrize("kind", [ProductSpace, lambda d: ProductSpaceGuide(None, d)])
def test_two_dimensions_are_refused(kind):
    with pytest.raises(ValueError, match="latent_dim must be at least 3, got 2"):
        kind(2)
