# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pyro's own objectives count a factor of the guide; ours say that they do not."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.nn import PyroModule

from pyro_textvae import zoo
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.amortisation import amortisation_gap
from pyro_textvae.infer import BetaELBO, log_weights
from pyro_textvae.testing import ContractError, check_guide, check_pair

FACTOR = 7.0


class WithFactor(PyroModule):
    """The posteriors of a Gaussian guide, and a factor beside them."""

    def __init__(self, guide):
        super().__init__("guide")
        self.inner = guide

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", self.inner.posterior(self.inner.encoder(tokens)))
            self.more(tokens)

    def more(self, tokens):
        pyro.factor("jacobian", torch.full((len(tokens),), FACTOR), has_rsample=True)


class WithObservedSite(WithFactor):
    def more(self, tokens):
        pyro.sample("length", dist.Poisson(2.0), obs=(tokens != 0).sum(1).float())


REFUSAL = "the guide has a factor, 'jacobian'"


def test_trace_elbo_counts_it_and_none_of_ours_drops_it_in_silence(pair, tokens):
    model, guide = pair
    pyro.set_rng_seed(1)
    plain = Trace_ELBO().loss(model, guide, tokens)
    pyro.set_rng_seed(1)
    with_factor = Trace_ELBO().loss(model, WithFactor(guide), tokens)
    assert with_factor - plain == pytest.approx(FACTOR * len(tokens))
    with pytest.raises(ValueError, match=REFUSAL):
        BetaELBO().loss(model, WithFactor(guide), tokens=tokens)


@pytest.mark.parametrize("name", zoo.names("objectives"))
def test_every_objective_refuses_a_factor(pair, tokens, name):
    model, guide = pair
    objective = zoo.build(zoo.load("objectives", name), {"num_particles": 4})
    for loss in (objective.loss, objective.differentiable_loss, objective.loss_and_grads):
        with pytest.raises(ValueError, match=REFUSAL):
            loss(model, WithFactor(guide), tokens=tokens)


EVALUATIONS = {
    "log_likelihood": lambda model, guide, batch: log_likelihood(model, guide, [batch], 2),
    "information": lambda model, guide, batch: information(model, guide, [batch]),
    "log_weights": log_weights,
    "amortisation_gap": lambda model, guide, batch: amortisation_gap(model, guide, [batch]),
}


@pytest.mark.parametrize("evaluate", EVALUATIONS.values(), ids=EVALUATIONS)
def test_every_evaluation_refuses_a_factor(pair, tokens, evaluate):
    model, guide = pair
    with pytest.raises(ValueError, match=REFUSAL):
        evaluate(model, WithFactor(guide), {"tokens": tokens[:1]})


def test_an_observed_site_is_refused_by_its_name(pair, tokens):
    model, guide = pair
    with pytest.raises(ValueError, match="guide's site 'length' is observed"):
        BetaELBO().loss(model, WithObservedSite(guide), tokens=tokens)


def test_the_contract_refuses_a_factor(pair, tokens):
    model, guide = pair
    with pytest.raises(ContractError, match=REFUSAL):
        check_guide(WithFactor(guide), model)
    with pytest.raises(ContractError, match=REFUSAL):
        check_pair(model, WithFactor(guide), BetaELBO(), {"tokens": tokens})
