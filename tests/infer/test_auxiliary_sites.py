# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A guide that makes latents of an auxiliary site is the guide that draws them itself."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.proposals import MixtureProposal, RefinedProposal
from pyro_textvae.infer import BetaELBO, log_weights
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.testing import check_guide, check_pair
from tests.infer.exact import ScriptedNormal

SIZE, DRAWS = 3, 6
X = torch.tensor([[0.3], [-1.2], [2.0]]).double()


class Model(nn.Module):
    """A Gaussian latent and a positive one that depends on it; x is Gaussian around both."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.4).double())

    def forward(self, tokens=None, *, size=None):
        zero = torch.zeros(size if tokens is None else len(tokens)).double()
        with pyro.plate("data", len(zero)):
            a = pyro.sample("a", dist.Normal(zero, 1.0))
            b = pyro.sample("b", dist.LogNormal(0.3 * a, 0.8))
            loc = (a + b.log() + self.shift).unsqueeze(-1)
            return pyro.sample("x", dist.Normal(loc, 0.9).to_event(1), obs=tokens)


class Guide(nn.Module):
    """Two Gaussians, of which the second is put into b by way of exp."""

    def __init__(self, noise):
        super().__init__()
        self.noise = noise
        self.loc = nn.Parameter(torch.tensor([[0.1, -0.3]]).double().repeat(SIZE, 1))
        self.log_scale = nn.Parameter(torch.tensor([[-0.2, 0.1]]).double().repeat(SIZE, 1))

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            self.draw()


class DrawsThem(Guide):
    def draw(self):
        scale = self.log_scale.exp()
        a, b = (ScriptedNormal(self.loc[:, j], scale[:, j], self.noise[..., j]) for j in (0, 1))
        pyro.sample("a", a)
        pyro.sample("b", dist.TransformedDistribution(b, [dist.transforms.ExpTransform()]))


class MakesBothOfOne(Guide):
    """Of one vector, as ``AutoContinuous``."""

    def draw(self):
        normal = ScriptedNormal(self.loc, self.log_scale.exp(), self.noise)
        u = pyro.sample("u", dist.Independent(normal, 1), infer={"is_auxiliary": True})
        pyro.sample("a", dist.Delta(u[..., 0]))
        pyro.sample("b", dist.Delta(u[..., 1].exp(), log_density=-u[..., 1]))


class MakesEachOfOne(Guide):
    """Each of its own, as ``AutoNormal``."""

    def draw(self):
        for j, name in enumerate("ab"):
            normal = ScriptedNormal(self.loc[:, j], self.log_scale[:, j].exp(), self.noise[..., j])
            u = pyro.sample(f"{name}_u", normal, infer={"is_auxiliary": True})
            pyro.sample(name, dist.Delta(u.exp(), log_density=-u) if j else dist.Delta(u))


def bound_and_gradients(objective, guide):
    model = Model()
    loss = objective(model, guide)(tokens=X)
    loss.backward()
    return loss.detach(), *(p.grad for p in (*model.parameters(), *guide.parameters()))


# beta_elbo has the KL of a in closed form where the guide draws a, so it is tested apart.
APART = ("beta_elbo", "semi_amortised_elbo")
OBJECTIVES = [name for name in zoo.names("objectives") if name not in APART]


@pytest.mark.parametrize("form", [MakesBothOfOne, MakesEachOfOne])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_the_value_and_gradient_of_the_guide_that_draws(name, form):
    noise = torch.randn(DRAWS, SIZE, 2).double()
    options = {"num_particles": DRAWS, "num_groups": 2, "alpha": 0.4}
    objective = zoo.build(zoo.load("objectives", name), options)
    expected = bound_and_gradients(objective, DrawsThem(noise))
    for wanted, actual in zip(expected, bound_and_gradients(objective, form(noise)), strict=True):
        torch.testing.assert_close(actual, wanted)


def test_the_bound_of_one_vector_is_that_of_the_draws():
    noise = torch.randn(DRAWS, SIZE, 2).double()
    of_vector, drawn = MakesBothOfOne(noise), DrawsThem(noise)
    loss = BetaELBO(num_particles=DRAWS)(Model(), of_vector)(tokens=X)
    weights = log_weights(Model(), drawn, {"tokens": X}, DRAWS)
    torch.testing.assert_close(loss.detach(), -weights.mean(0).sum().detach())


def test_a_latent_that_is_the_auxiliary_site_has_its_distribution():
    trace = trace_guide(MakesEachOfOne(torch.randn(SIZE, 2).double()), tokens=X)
    sites = dict(latent_sites(trace))
    assert isinstance(sites["a"]["fn"], ScriptedNormal)
    assert "a_u" not in trace.nodes
    # How b is made of it is not known without the autoguide, so that it stays.
    assert "b_u" in trace.nodes


class Amortised(nn.Module):
    """Posteriors near the truth, of one vector."""

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            loc = (0.3 * (tokens - 0.4)).expand(-1, 2)
            normal = dist.Normal(loc, 0.8).to_event(1)
            u = pyro.sample("u", normal, infer={"is_auxiliary": True})
            pyro.sample("a", dist.Delta(u[..., 0]))
            pyro.sample("b", dist.Delta(u[..., 1].exp(), log_density=-u[..., 1]))


def exact_log_px(x):
    """a + log b is Gaussian: 1.3 a + noise of 0.8, and x another noise of 0.9 around it."""
    return dist.Normal(0.4, math.sqrt(1.3**2 + 0.8**2 + 0.9**2)).log_prob(x).squeeze(-1)


def test_log_likelihood_is_exact_within_its_error():
    r = log_likelihood(Model(), Amortised(), [{"tokens": X}], num_samples=4000)
    z = (r.log_px - exact_log_px(X)) / r.standard_error
    assert z.abs().max() < 4.5
    assert r.standard_error.max() < 0.05
    assert not r.points


def test_information_says_what_is_absent():
    result = information(Model(), Amortised(), [{"tokens": X}])
    assert result.mutual_information is None
    assert math.isfinite(result.kl)


def test_latents_of_others_cannot_be_scored():
    posteriors = Posteriors(Model(), Amortised(), {"tokens": X}, seed=0)
    latents, _ = posteriors.sample(2, 0)
    with pytest.raises(NotImplementedError, match="auxiliary site 'u'"):
        posteriors.log_prob(latents)


class LosesItsDraw(nn.Module):
    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            u = pyro.sample("u", dist.Normal(tokens[:, 0], 1.0), infer={"is_auxiliary": True})
            a = pyro.sample("a", dist.Normal(u, 1.0))
            pyro.sample("b", dist.LogNormal(a, 1.0))


class HasItTwice(Amortised):
    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("a", dist.Normal(tokens[:, 0], 1.0), infer={"is_auxiliary": True})
            pyro.sample("b", dist.LogNormal(tokens[:, 0], 1.0))


@pytest.mark.parametrize(
    ("guide", "reason"),
    [
        (LosesItsDraw(), "'u' is marked is_auxiliary, and its latents do not say where"),
        (HasItTwice(), "'a' is marked is_auxiliary"),
    ],
)
def test_an_auxiliary_site_that_has_no_density_is_refused(guide, reason):
    batch = {"tokens": X}
    for call in (
        lambda: BetaELBO().loss(Model(), guide, **batch),
        lambda: log_likelihood(Model(), guide, [batch], 10),
        lambda: information(Model(), guide, [batch]),
    ):
        with pytest.raises(ValueError, match=reason):
            call()


def test_a_constraint_on_one_vector_of_several_latents_is_refused():
    objective = BetaELBO(constraint=zoo.build(zoo.load("constraints", "free_bits"), {"nats": 1.0}))
    with pytest.raises(ValueError, match="none has a KL of its own for FreeBits"):
        objective(Model(), Amortised())(tokens=X)


class OfText(nn.Module):
    """The posteriors of a Gaussian guide, drawn by an auxiliary site."""

    def __init__(self, guide):
        super().__init__()
        self.inner = guide

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            posterior = self.inner.posterior(self.inner.encoder(tokens))
            u = pyro.sample("u", posterior, infer={"is_auxiliary": True})
            pyro.sample("z", dist.Delta(u, event_dim=1))


def test_the_contract_holds_for_a_guide_by_an_auxiliary_site(pair, tokens):
    model, guide = pair
    check_guide(OfText(guide), model)
    check_pair(model, OfText(guide), BetaELBO(), {"tokens": tokens})
    for proposal in (None, MixtureProposal(), RefinedProposal()):
        results = [
            log_likelihood(model, each, [{"tokens": tokens}], 40, proposal=proposal)
            for each in (guide, OfText(guide))
        ]
        torch.testing.assert_close(results[0].log_px, results[1].log_px)
