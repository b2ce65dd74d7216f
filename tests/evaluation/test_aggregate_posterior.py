# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.evaluation.latents import aggregate_posterior
from pyro_textvae.evaluation.latents.aggregate_posterior import AggregatePosterior

COUNT, DIM = 40, 3


def gaussian(count=COUNT, dim=DIM, family=dist.Normal):
    generator = torch.Generator().manual_seed(3)
    loc = torch.randn(count, dim, generator=generator).double()
    scale = torch.rand(count, dim, generator=generator).double() + 0.3
    return loc, scale, family(loc, scale).to_event(1)


def draw(posterior, per_sentence=2):
    z = posterior.sample((per_sentence,)).transpose(0, 1).flatten(0, 1)
    return z, torch.arange(posterior.batch_shape[0]).repeat_interleave(per_sentence)


def parts_of(posterior, kind, sizes):
    """The same posteriors in batches of some sizes."""
    base = posterior.base_dist
    columns = zip(base.loc.split(sizes), base.scale.split(sizes), strict=True)
    return [kind(loc, scale).to_event(1) for loc, scale in columns]


@pytest.mark.parametrize("family", [dist.Normal, dist.Laplace])
def test_densities_are_those_of_the_mixture(family):
    posterior = gaussian(family=family)[2]
    z, own = draw(posterior)
    found = AggregatePosterior([posterior]).log_prob(z, own)
    log_q = posterior.log_prob(z.unsqueeze(1))
    itself = torch.nn.functional.one_hot(own, COUNT).bool()
    others = log_q[~itself].reshape(len(z), COUNT - 1)
    close = {"rtol": 0, "atol": 1e-11}
    torch.testing.assert_close(found.own, log_q[itself], **close)
    torch.testing.assert_close(found.included, log_q.exp().mean(1).log(), **close)
    torch.testing.assert_close(found.left_out, others.exp().mean(1).log(), **close)


@pytest.mark.parametrize("family", [dist.Normal, dist.Laplace])
def test_marginals_are_those_of_the_mixture(family):
    loc, scale, posterior = gaussian(family=family)
    z, _ = draw(posterior)
    expected = [
        family(loc[:, j], scale[:, j]).log_prob(z[:, j : j + 1]).exp().mean(1).log()
        for j in range(DIM)
    ]
    found = AggregatePosterior([posterior]).marginal_log_prob(z)
    torch.testing.assert_close(found, torch.stack(expected, 1), rtol=0, atol=1e-12)


def test_full_covariance_agrees_with_the_diagonal_but_has_no_marginals():
    loc, scale, diagonal = gaussian()
    full = dist.MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))
    z, own = draw(diagonal)
    found = AggregatePosterior([full]).log_prob(z, own)
    expected = AggregatePosterior([diagonal]).log_prob(z, own)
    torch.testing.assert_close(found.included, expected.included, rtol=0, atol=1e-11)
    assert not AggregatePosterior([full]).factorises
    with pytest.raises(ValueError, match="products over the dimensions, got MultivariateNormal"):
        AggregatePosterior([full]).marginal_log_prob(z)


@pytest.mark.parametrize("family", [dist.Normal, dist.Laplace])
def test_blocks_and_batches_do_not_change_the_densities(family, monkeypatch):
    posterior = gaussian(family=family)[2]
    z, own = draw(posterior)
    whole = AggregatePosterior([posterior])
    expected, marginals = whole.log_prob(z, own), whole.marginal_log_prob(z)
    for block in (1, 7 * COUNT * DIM):
        monkeypatch.setattr(aggregate_posterior, "_PAIRS_AT_ONCE", block)
        monkeypatch.setattr(aggregate_posterior, "_ELEMENTS_AT_ONCE", block)
        cut = AggregatePosterior(parts_of(posterior, family, [11, 1, 28]))
        for found, value in zip(cut.log_prob(z, own), expected, strict=True):
            torch.testing.assert_close(found, value, rtol=0, atol=1e-10)
        torch.testing.assert_close(cut.marginal_log_prob(z), marginals, rtol=0, atol=1e-10)


def test_squares_multiplied_out_keep_their_digits_far_from_zero():
    """All means near 1e4, scales of 0.01: squares of 1e12, of which 1e-4 would remain."""
    loc, scale, _ = gaussian()
    posterior = dist.Normal(1e4 + loc, 0.01 * scale).to_event(1)
    z, own = draw(posterior)
    found = AggregatePosterior([posterior]).log_prob(z, own)
    expected = posterior.log_prob(z.unsqueeze(1)).gather(1, own.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found.own, expected, rtol=0, atol=1e-8)


def test_float32_parameters_are_reckoned_in_float64():
    loc, scale, _ = gaussian()
    single = dist.Normal(loc.float(), 0.01 * scale.float()).to_event(1)
    z, own = draw(single)
    found = AggregatePosterior([single]).log_prob(z, own)
    double = dist.Normal(single.base_dist.loc.double(), single.base_dist.scale.double())
    log_q = double.to_event(1).log_prob(z.double().unsqueeze(1))
    expected = log_q.logsumexp(1) - math.log(COUNT)
    assert found.included.dtype == torch.float64
    # float32 would be off by 1 nat here.
    torch.testing.assert_close(found.included, expected, rtol=0, atol=1e-8)
    each = double.log_prob(z.double().unsqueeze(1)).logsumexp(1) - math.log(COUNT)
    marginals = AggregatePosterior([single]).marginal_log_prob(z)
    torch.testing.assert_close(marginals, each, rtol=0, atol=1e-8)


def test_one_sentence_is_its_own_aggregate():
    posterior = gaussian(count=1)[2]
    z, own = draw(posterior)
    found = AggregatePosterior([posterior]).log_prob(z, own)
    torch.testing.assert_close(found.included, found.own, rtol=0, atol=0)
    assert found.left_out.tolist() == [-math.inf, -math.inf]


def test_numbers_and_classes_are_as_good_as_vectors():
    logits = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, -1.0]], dtype=torch.float64)
    z, own = torch.tensor([0, 2, 1, 1]), torch.tensor([0, 0, 1, 1])
    posterior = dist.Categorical(logits=logits)
    found = AggregatePosterior([posterior]).log_prob(z, own)
    probs = posterior.probs
    torch.testing.assert_close(found.included.exp(), probs.mean(0)[z])
    torch.testing.assert_close(found.left_out.exp(), probs[1 - own, z])
    assert not AggregatePosterior([posterior]).factorises


def test_a_product_of_vectors_is_none_of_numbers():
    posterior = dist.Dirichlet(torch.ones(4, 3, 2)).to_event(1)
    z, own = draw(posterior)
    assert not AggregatePosterior([posterior]).factorises
    assert AggregatePosterior([posterior]).log_prob(z, own).included.shape == (8,)
