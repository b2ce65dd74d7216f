# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.generation.latent_space import embed, neighbours
from pyro_textvae.guides import DeltaGuide, GaussianMixtureGuide, PowerSphericalGuide


class ByTheFirstWord(nn.Module):
    """Posteriors that a table gives for the first id, in one dimension."""

    loc = {3: 0.0, 4: 1.0, 5: 3.0, 6: -2.0}
    scale = {3: 1.0, 4: 0.1, 5: 1.0, 6: 1.5}

    def forward(self, tokens):
        rows = tokens[:, 0].tolist()
        loc = torch.tensor([[self.loc[row]] for row in rows])
        scale = torch.tensor([[self.scale[row]] for row in rows])
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))


def batch(*words):
    return {"tokens": torch.tensor([[word, 2] for word in words])}


def test_nearest_by_mean_and_by_kl():
    """The nearest mean has a posterior that is quite another: 49.5 + 0.5 nats, by the formula."""
    corpus = [batch(5, 4), batch(6, 3)]
    by_mean = neighbours(ByTheFirstWord(), batch(3), corpus, size=3)
    assert by_mean.indices.tolist() == [3, 1, 2]
    assert by_mean.distances.tolist() == [0.0, 1.0, 2.0]
    assert by_mean.tokens[:, 0].tolist() == [3, 4, 6]
    by_kl = neighbours(ByTheFirstWord(), batch(3), corpus, by="kl", size=9)
    assert by_kl.indices.tolist() == [3, 2, 0, 1]
    expected = [
        (a**2 + d**2) / (2 * b**2) + (b**2 + d**2) / (2 * a**2) - 1
        for a, b, d in ((1, 1, 0), (1, 1.5, 2), (1, 1, 3), (1, 0.1, 1))
    ]
    assert by_kl.distances.tolist() == pytest.approx(expected, abs=1e-5)


def test_places_are_those_of_the_split_where_batches_know_them(pair):
    class Known(dict):
        indices = torch.tensor([70, 7])

    corpus = [Known(batch(4, 5)), batch(6)]
    assert neighbours(pair[1], batch(5), corpus, size=1).indices.tolist() == [7]


def test_near_on_a_sphere(pair, tokens):
    guide = PowerSphericalGuide(pair[1].encoder, 2).double().eval()
    nearest = neighbours(guide, {"tokens": tokens[2:3]}, [{"tokens": tokens}], size=4)
    assert nearest.indices[0] == 2
    assert nearest.distances.max() <= 2.0


def test_what_is_near_to_nothing(pair):
    guide = GaussianMixtureGuide(pair[1].encoder, 2).double().eval()
    with pytest.raises(UserError, match="no formula for DiagonalGaussianMixture: use by=mean"):
        neighbours(guide, batch(4), [batch(5)], by="kl")
    with pytest.raises(UserError, match="the split is empty"):
        neighbours(pair[1], batch(4), [])
    with pytest.raises(ValueError, match="of one sentence, got 2"):
        neighbours(pair[1], batch(4, 5), [batch(5)])
    with pytest.raises(UserError, match="by must be one of mean, kl, got 'median'"):
        neighbours(pair[1], batch(4), [batch(5)], by="median")


def test_embeddings_are_in_order(pair, tokens):
    guide = pair[1]
    parts = list(embed(guide, [{"tokens": tokens[:3]}, {"tokens": tokens[3:]}], variances=True))
    features = guide.encoder(tokens)
    points = torch.cat([part.points["z"] for part in parts])
    torch.testing.assert_close(points, guide.loc(features).detach())
    variances = torch.cat([part.variances["z"] for part in parts])
    torch.testing.assert_close(variances, guide.log_variance(features).exp().detach())
    assert next(embed(guide, [{"tokens": tokens}])).variances == {}


def test_a_point_has_no_spread(pair, tokens):
    guide = DeltaGuide(pair[1].encoder, 2).double()
    assert not next(embed(guide, [{"tokens": tokens}], variances=True)).variances["z"].any()
