# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sums of latents, walks along a direction, and the way that keeps to the aggregate posterior."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.generation import generate_interpolation
from pyro_textvae.generation.latent_space import (
    AggregateMoments,
    aggregate_moments,
    arithmetic,
    label_direction,
    traverse,
)
from pyro_textvae.guides import EmptyGuide, LabelledGuide, PowerSphericalGuide
from pyro_textvae.models import LabelledVAE, SentenceVAE
from pyro_textvae.nn import GRUDecoder
from pyro_textvae.priors import StandardNormal, UniformSphere

A, B, C = ({"tokens": torch.tensor([row])} for row in ([4, 5, 2], [6, 2, 0], [5, 3, 2]))


@pytest.fixture
def seen(pair):
    """Every latent that the decoder is given."""
    given = []
    pair[0].decoder.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    return given


@pytest.fixture
def spherical_pair(pair):
    model = SentenceVAE(prior=UniformSphere(2).double(), decoder=pair[0].decoder).eval()
    return model, PowerSphericalGuide(pair[1].encoder, 2).double().eval()


def mean(guide, batch):
    return guide.loc(guide.encoder(batch["tokens"])).detach()


class DiscreteGuide(nn.Module):
    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Categorical(torch.ones(len(tokens), 3)))


def test_arithmetic_is_a_less_b_and_c(pair, seen):
    guide = pair[1]
    decoded = arithmetic(*pair, A, B, C)
    z = mean(guide, A) - mean(guide, B) + mean(guide, C)
    torch.testing.assert_close(seen[-1], z)
    assert torch.equal(decoded.tokens, pair[0].decoder(z).greedy())
    assert not torch.allclose(z, mean(guide, B) - mean(guide, A) + mean(guide, C))


def test_arithmetic_stays_on_the_sphere(spherical_pair, seen):
    arithmetic(*spherical_pair, A, B, C)
    torch.testing.assert_close(seen[-1].norm(dim=-1), torch.ones(1).double())


def test_a_label_is_that_of_c(pair):
    """The classifier says 1 of c alone; z is of each sentence under its own label."""
    torch.manual_seed(0)
    model = LabelledVAE(StandardNormal(2), GRUDecoder(9, 4, 5, 4, 6), 2).double().eval()
    guide = LabelledGuide(pair[1].encoder, 2, 2).double().eval()
    features = guide.encoder(torch.cat([A["tokens"], C["tokens"]]))
    away = (features[1] - features[0]).detach()
    with torch.no_grad():
        guide.label_logits.weight.copy_(torch.stack([torch.zeros_like(away), away]))
        guide.label_logits.bias.copy_(torch.stack([features.mean(0) @ away, away.sum() * 0]))
    given = []
    model.decoder.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    arithmetic(model, guide, A, A, C)
    z = guide.posterior_given_label(features[1:], torch.tensor([1])).mean
    expected = torch.cat([z, torch.tensor([[0.0, 1.0]])], -1).detach()
    torch.testing.assert_close(given[-1], expected)


def test_what_has_no_sum(pair):
    with pytest.raises(UserError, match="the latent 'z' is discrete, and its values cannot be"):
        arithmetic(pair[0], DiscreteGuide(), A, B, C)
    with pytest.raises(UserError, match="the model has no latent"):
        arithmetic(pair[0], EmptyGuide(), A, B, C)
    two = {"tokens": torch.tensor([[4, 2], [5, 2]])}
    with pytest.raises(ValueError, match=r"as many sentences each, got \[1, 1, 2\]"):
        arithmetic(*pair, A, B, two)


def test_a_walk_along_a_dimension_and_a_direction(pair, seen):
    start = mean(pair[1], A)
    offsets = torch.tensor([-2.0, 0.0, 1.0])
    walk = traverse(*pair, A, 1, offsets)
    expected = start + torch.tensor([[0.0, -2.0], [0.0, 0.0], [0.0, 1.0]]).double()
    torch.testing.assert_close(seen[-1], expected)
    assert torch.equal(walk.tokens, pair[0].decoder(expected).greedy())
    traverse(*pair, A, torch.tensor([0.5, -1.0]), offsets)
    along = offsets.double().unsqueeze(1) * torch.tensor([0.5, -1.0]).double()
    torch.testing.assert_close(seen[-1], start + along)


def test_a_walk_on_the_sphere_turns_by_its_offset(spherical_pair, seen):
    traverse(*spherical_pair, A, torch.tensor([3.0, -1.0]), torch.tensor([0.0, 0.1, 0.2]))
    walk = seen[-1]
    torch.testing.assert_close(walk.norm(dim=-1), torch.ones(3).double())
    angles = (walk[:-1] * walk[1:]).sum(-1).acos()
    across = torch.tensor([3.0, -1.0]).double() @ torch.stack([-walk[0, 1], walk[0, 0]])
    torch.testing.assert_close(angles, 0.1 * across.abs().expand(2))


def test_what_leads_nowhere(pair):
    offsets = torch.zeros(2)
    with pytest.raises(UserError, match=r"dimension must lie in \[0, 2\), .* got 2"):
        traverse(*pair, A, 2, offsets)
    with pytest.raises(UserError, match=r"must have 2 numbers, .* got shape \(3,\)"):
        traverse(*pair, A, torch.ones(3), offsets)
    with pytest.raises(UserError, match="finite and not zero"):
        traverse(*pair, A, torch.zeros(2), offsets)
    with pytest.raises(UserError, match="there is no latent site 'y': there are z"):
        traverse(*pair, A, 0, offsets, site="y")
    with pytest.raises(UserError, match="and the latents are z"):
        traverse(pair[0], DiscreteGuide(), A, 0, offsets)
    with pytest.raises(ValueError, match="begins at one sentence, got 2"):
        traverse(*pair, {"tokens": torch.tensor([[4, 2], [5, 2]])}, 0, offsets)


def test_a_labels_direction_is_the_difference_of_means(pair, tokens):
    guide = pair[1]
    batches = [
        {"tokens": tokens[:3], "labels": torch.tensor([0, 1, 1])},
        {"tokens": tokens[3:], "labels": torch.tensor([0])},
    ]
    means = mean(guide, {"tokens": tokens})
    expected = (means[1] + means[2]) / 2 - (means[0] + means[3]) / 2
    torch.testing.assert_close(label_direction(guide, batches, 0, 1), expected)
    with pytest.raises(UserError, match="no sentence has the label 2"):
        label_direction(guide, batches, 0, 2)
    with pytest.raises(UserError, match="no labels, .*--label-column"):
        label_direction(guide, [{"tokens": tokens}], 0, 1)


def test_the_way_keeps_as_far_from_the_middle_as_its_ends():
    """Both ends two deviations away in the aggregate's own coordinates: all the way is."""
    factor = torch.tensor([[2.0, 0.0], [1.0, 0.5]]).double()
    moments = AggregateMoments(torch.tensor([1.0, -3.0]).double(), factor)
    angles = torch.tensor([0.3, 2.1])
    ends = 2 * torch.stack([angles.cos(), angles.sin()], 1).double() @ factor.T + moments.mean
    way = moments.way(ends[0], ends[1], torch.linspace(0, 1, 5))
    torch.testing.assert_close(way[[0, -1]], ends)
    inside = torch.linalg.solve(factor, (way - moments.mean).T).T
    torch.testing.assert_close(inside.norm(dim=-1), torch.full((5,), 2.0).double())
    turned = torch.atan2(inside[:, 1], inside[:, 0]) - 0.3
    torch.testing.assert_close(turned, torch.linspace(0, 1.8, 5).double())


def test_moments_are_those_of_the_draws(pair, tokens, seen):
    batches = [{"tokens": tokens.repeat(2000, 1)}]
    moments = aggregate_moments(pair[1], batches)["z"]
    features = pair[1].encoder(tokens)
    loc, variance = pair[1].loc(features), pair[1].log_variance(features).exp()
    covariance = loc.T.cov(correction=0) + torch.diag(variance.mean(0))
    torch.testing.assert_close(moments.mean, loc.mean(0).detach(), atol=0.05, rtol=0.05)
    found = moments.factor @ moments.factor.T
    torch.testing.assert_close(found, covariance.detach(), atol=0.1, rtol=0.1)
    ends = {"tokens": tokens[:2]}
    generate_interpolation(*pair, ends, steps=3, aggregate={"z": moments})
    half = moments.way(*loc[:2].detach(), torch.tensor([0.5]))
    torch.testing.assert_close(seen[-1][1:2], half)
    assert not math.isclose(half[0, 0], loc[:2, 0].mean().item(), rel_tol=1e-3)


def test_a_sphere_has_no_such_way(spherical_pair, tokens):
    with pytest.raises(UserError, match="no covariance, .*leave the path a line"):
        aggregate_moments(spherical_pair[1], [{"tokens": tokens}])
