# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sums beside a global latent, whose draw all values share, and under one of Pyro's autoguides."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from pyro_textvae.infer import IWAE, BetaELBO, SentenceAutoGuide
from tests.infer.enumeration.programs import MEANS, SUM, X, normal
from tests.infer.enumeration.test_text_programs import TOKENS, component

LOG_PRIOR = torch.tensor([0.3, 0.1, 0.2]).double().log_softmax(0)


class SharedMean(nn.Module):
    """g ~ N(0, 1) of the corpus; y of each sentence; x ~ N(g + mean of y, .8^2)."""

    def forward(self, x):
        shared = pyro.sample("g", dist.Normal(torch.zeros(()).double(), 1.0))
        with pyro.plate("data", len(x)):
            y = pyro.sample("y", dist.Categorical(logits=LOG_PRIOR))
            pyro.sample("x", dist.Normal(shared + MEANS[y], 0.8), obs=x)


class GuideOfSharedMean(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.tensor(0.3).double())

    def sample_shared(self):
        return pyro.sample("g", dist.Normal(self.loc, 0.5))

    def forward(self, x):
        shared = self.sample_shared()
        with pyro.plate("data", len(x)):
            logits = x.unsqueeze(-1) * MEANS + shared
            pyro.sample("y", dist.Categorical(logits=logits), infer=SUM)


def elbo(log_q, log_p):
    return (log_q.exp() * (log_p - log_q)).sum()


def importance(log_q, log_p):
    return log_p.logsumexp(-1).sum()


@pytest.mark.parametrize(
    ("objective", "formula"),
    [
        (BetaELBO(corpus_size=6), elbo),
        (BetaELBO(num_particles=3, corpus_size=6), elbo),
        (BetaELBO(num_particles=3, corpus_size=6, vectorize_particles=False), elbo),
        (IWAE(3, corpus_size=6), importance),
    ],
)
def test_global_latent_is_one_draw_for_all_values(objective, formula):
    model, guide = SharedMean(), GuideOfSharedMean()
    pyro.set_rng_seed(1)
    loss = objective(model, guide)(X)
    pyro.set_rng_seed(1)
    shared = guide.sample_shared()
    log_q = (X.unsqueeze(-1) * MEANS + shared).log_softmax(-1)
    log_p = LOG_PRIOR + normal(X.unsqueeze(-1), shared + MEANS, 0.8)
    posterior, prior = dist.Normal(guide.loc, 0.5), dist.Normal(guide.loc.new_zeros(()), 1.0)
    share = len(X) / 6 * torch.distributions.kl_divergence(posterior, prior)
    expected = share - formula(log_q, log_p)
    torch.testing.assert_close(loss, expected)
    found = (torch.autograd.grad(value, guide.loc) for value in (loss, expected))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("family", ["AutoNormal", "AutoMultivariateNormal"])
def test_autoguide_of_what_is_left_of_a_mixture(family):
    model, _ = component()
    hidden = poutine.block(model, hide=["c"])
    guide = SentenceAutoGuide(hidden, family, [{"tokens": TOKENS}]).double()
    objective = BetaELBO(num_particles=2)
    objective(model, guide)(tokens=TOKENS).backward()
    terms = objective.terms(model, guide, tokens=TOKENS)
    total = terms.log_likelihood - sum(terms.kl.values())
    torch.testing.assert_close(total, terms.log_weights)
    assert all(p.grad is not None for p in (*model.parameters(), *guide.parameters()))
