# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pyro's own TraceEnum_ELBO on the same draws: value and gradients, to the last digits."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, TraceEnum_ELBO, config_enumerate
from torch import nn

from pyro_textvae.infer import IWAE, BetaELBO
from tests.infer.enumeration.programs import (
    MEANS,
    SUM,
    Guide,
    Model,
    X,
    normal,
    of_class,
)


class Sampled(BetaELBO):
    """The bound with log-ratios of the draws where BetaELBO has a KL in closed form."""

    def bound(self, terms):
        return terms.mean_log_weights.mean(0)


def both(model, guide, *args, num_particles=1, nesting=1):
    """The loss and its gradients by ours and by Pyro's, with the same random numbers."""
    theirs = TraceEnum_ELBO(
        num_particles,
        max_plate_nesting=nesting,
        vectorize_particles=num_particles > 1,
        strict_enumeration_warning=False,
    )
    parameters = [*model.parameters(), *guide.parameters()]
    found = []
    for objective in (Sampled(num_particles=num_particles), theirs):
        pyro.set_rng_seed(7)
        loss = objective.differentiable_loss(model, guide, *args)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        found.append((loss.detach(), gradients))
    return found


def assert_same(found):
    ours, theirs = found
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("num_particles", [1, 3])
@pytest.mark.parametrize("order", ["y", "y then z", "z apart", "z then y"])
def test_sites_of_the_guide(order, num_particles):
    assert_same(both(Model(3, order), Guide(3, order), X, num_particles=num_particles))


@pytest.mark.parametrize("num_particles", [1, 3])
def test_component_that_the_model_alone_has(num_particles):
    model, guide = Model(3, "z apart", mark=True), Guide(3, "z apart", has_y=False)
    assert_same(both(model, guide, X, num_particles=num_particles))


@pytest.fixture
def in_double():
    """For Pyro, whose masked terms have the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class PartlyLabelled(Model):
    """y is given in some rows, by Pyro's obs_mask."""

    labels = torch.tensor([2, 0, 1])
    given = torch.tensor([True, False, True])

    def forward(self, x):
        with pyro.plate("data", len(x)):
            prior = dist.Categorical(logits=self.logits.T)
            y = pyro.sample("y", prior, obs=self.labels, obs_mask=self.given)
            z = pyro.sample("z", dist.Normal(MEANS[y], 1.0))
            pyro.sample("x", dist.Normal(z + of_class(self.shift, y), 0.8), obs=x)


class GuideOfPartlyLabelled(Guide):
    labels, given = PartlyLabelled.labels, PartlyLabelled.given

    def forward(self, x):
        with pyro.plate("data", len(x)):
            with poutine.mask(mask=~self.given):
                posterior = dist.Categorical(logits=self.logits.T)
                y = pyro.sample("y_unobserved", posterior, infer=SUM)
            y = torch.where(self.given, self.labels, y)
            self.sample_z(of_class(self.loc, y) if self.order == "y then z" else self.loc[1])


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("num_particles", [1, 3])
@pytest.mark.parametrize("order", ["y then z", "z apart"])
def test_rows_with_and_without_a_label_in_one_batch(order, num_particles):
    """A labelled row says nothing of q(y | x); in Pyro it does, by the noise of its draws alone."""
    model, guide = PartlyLabelled(3), GuideOfPartlyLabelled(3, order)
    (value, gradients), (their_value, theirs) = both(model, guide, X, num_particles=num_particles)
    torch.testing.assert_close(value, their_value)
    names = [name for program in (model, guide) for name, _ in program.named_parameters()]
    place = names.index("logits", 1)
    assert (gradients[place][:, guide.given] == 0).all()
    noise = theirs[place][:, guide.given].clone()
    theirs[place][:, guide.given] = 0.0
    torch.testing.assert_close(gradients, theirs, rtol=1e-9, atol=1e-11)
    assert (noise.abs().max() > 1e-3) == (order == "y then z")


def test_labelled_rows_have_the_bound_of_a_label_that_is_given():
    """Of IWAE and the ELBO, row by row, against programs of labelled or of unlabelled rows."""
    draws = torch.linspace(-1, 1, 4 * 3).double().reshape(4, 3)
    model = PartlyLabelled(3)
    for objective in (IWAE(4), BetaELBO(num_particles=4)):
        with torch.no_grad():
            guide = GuideOfPartlyLabelled(3, "z apart", draws)
            mixed = objective.bound(objective.terms(model, guide, X))
            unlabelled = Guide(3, "z apart", draws)
            without = objective.bound(objective.terms(Model(3, "z apart"), unlabelled, X))
            observed = poutine.condition(Model(3, "z apart"), {"y": model.labels})
            alone = Guide(3, "z apart", draws, has_y=False)
            given = objective.bound(objective.terms(observed, alone, X))
        torch.testing.assert_close(mixed, torch.where(model.given, given, without))


class Conversation(nn.Module):
    """A topic of each conversation, an act of each turn; x of a turn depends on both."""

    def __init__(self, *, topic=None, act=None):
        super().__init__()
        self.topic, self.act = topic, act
        self.topics = nn.Parameter(torch.tensor([0.2, -0.5]).double())
        self.acts = nn.Parameter(torch.tensor([[0.1, 0.5, -0.3], [0.4, 0.0, 0.2]]).double())
        self.shift = nn.Parameter(torch.tensor([-0.7, 0.6]).double())

    def forward(self, x, said):
        with pyro.plate("data", x.shape[1], dim=-1):
            topic = pyro.sample("topic", dist.Categorical(logits=self.topics), infer=self.topic)
            with pyro.plate("turns", len(x), dim=-2), poutine.mask(mask=said):
                act = pyro.sample("act", dist.Categorical(logits=self.acts[topic]), infer=self.act)
                z = pyro.sample("z", dist.Normal(MEANS[act], 1.0))
                pyro.sample("x", dist.Normal(z + self.shift[topic], 0.8), obs=x)


class GuideOfConversation(nn.Module):
    def __init__(self, *, topic=True, act=True):
        super().__init__()
        self.topic, self.act = topic, act
        self.topics = nn.Parameter(torch.tensor([0.1, 0.3]).double())
        self.slope = nn.Parameter(torch.tensor([0.3, -0.2, 0.6]).double())
        self.by_topic = nn.Parameter(torch.tensor([[0.1, 0.2, 0.4], [0.5, 0.0, 0.2]]).double())

    def forward(self, x, said):
        with pyro.plate("data", x.shape[1], dim=-1):
            topic = torch.zeros((), dtype=torch.long)
            if self.topic:
                topic = pyro.sample("topic", dist.Categorical(logits=self.topics), infer=SUM)
            with pyro.plate("turns", len(x), dim=-2), poutine.mask(mask=said):
                loc = 0.5 * x
                if self.act:
                    logits = x.unsqueeze(-1) * self.slope + self.by_topic[topic]
                    act = pyro.sample("act", dist.Categorical(logits=logits), infer=SUM)
                    loc = loc + self.slope[act]
                pyro.sample("z", dist.Normal(loc, 0.9))


CONVERSATIONS = torch.tensor([[0.7, -0.3], [1.9, 0.2], [-1.0, 0.4]]).double()
SAID = torch.tensor([[True, True], [True, False], [True, True]])
ENUMERATED_IN = {
    "the guide": (Conversation(), GuideOfConversation()),
    "the model": (
        Conversation(topic=SUM, act=SUM),
        GuideOfConversation(topic=False, act=False),
    ),
    "the guide, and the model within": (Conversation(act=SUM), GuideOfConversation(act=False)),
}


@pytest.mark.parametrize("num_particles", [1, 3])
@pytest.mark.parametrize("place", ENUMERATED_IN)
def test_two_sites_and_a_plate_inside_the_data(place, num_particles):
    assert_same(
        both(*ENUMERATED_IN[place], CONVERSATIONS, SAID, num_particles=num_particles, nesting=2)
    )


@pytest.mark.parametrize("num_particles", [1, 2])
def test_weights_with_a_plate_inside_the_data_are_products_over_its_places(num_particles):
    """log sum_topic p(topic) prod_turns sum_act p(act | topic) p(x, z_act) / q(z_act)."""
    model, guide = ENUMERATED_IN["the guide"]
    pyro.set_rng_seed(0)
    with torch.no_grad():
        terms = IWAE(num_particles).terms(model, guide, CONVERSATIONS, SAID)
        (draw,) = [site.draw for site in terms.passes[0] if site.name == "z"]
        z = draw.reshape(3, num_particles, 3, 2)
        log_topic = model.topics.log_softmax(0)
        total = []
        for topic in range(2):
            act = torch.arange(3).reshape(3, 1, 1, 1)
            log_v = model.acts[topic].log_softmax(0)[act] + normal(z, MEANS[act], 1.0)
            log_v = log_v + normal(CONVERSATIONS, z + model.shift[topic], 0.8)
            log_v = log_v - normal(z, 0.5 * CONVERSATIONS + guide.slope[act], 0.9)
            of_turns = torch.where(SAID, log_v.logsumexp(0), 0.0)
            total.append(log_topic[topic] + of_turns.sum(1))
        expected = torch.stack(total)
    torch.testing.assert_close(terms.log_weights, expected.logsumexp(0))
    torch.testing.assert_close(terms.enumerated[0].log_weights_of("topic"), expected)
    with pytest.raises(ValueError, match="'act' is enumerated inside the plate 'turns': it has"):
        terms.enumerated[0].log_weights_of("act")


def test_sum_over_every_combination_of_places_is_refused():
    model, guide = Conversation(topic=SUM), GuideOfConversation(topic=False)
    with pytest.raises(ValueError, match="'act' is enumerated inside the plate 'turns'.*'topic'"):
        BetaELBO().loss(model, guide, CONVERSATIONS, SAID)


class HiddenMarkov(nn.Module):
    """Five words with a chain of states, which pyro.markov lets share two dimensions."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.tensor([0.2, -0.5, 0.1]).double())
        self.step = nn.Parameter(torch.linspace(-1, 1, 9).double().reshape(3, 3))
        self.words = nn.Parameter(torch.linspace(1, -1, 12).double().reshape(3, 4))

    def forward(self, tokens):
        with pyro.plate("data", len(tokens)):
            logits = self.first
            for t in pyro.markov(range(tokens.shape[1])):
                state = pyro.sample(f"s_{t}", dist.Categorical(logits=logits), infer=SUM)
                words = dist.Categorical(logits=self.words[state])
                pyro.sample(f"x_{t}", words, obs=tokens[:, t])
                logits = self.step[state]


class EmptyGuide(nn.Module):
    def forward(self, tokens):
        pass


def test_chain_of_states_that_share_dimensions():
    tokens = torch.tensor([[0, 3, 1, 1, 2], [2, 2, 0, 3, 1]])
    model, guide = HiddenMarkov(), EmptyGuide()
    assert_same(both(model, guide, tokens))
    terms = IWAE(2).terms(model, guide, tokens)
    # Each word given those before it: the forward algorithm.
    filtered = model.first.log_softmax(0).expand(2, 3)
    for t in range(5):
        filtered = filtered + model.words.log_softmax(1)[:, tokens[:, t]].T
        total = filtered.logsumexp(1)
        torch.testing.assert_close(terms.observed[f"x_{t}"][0], total)
        filtered = (filtered - total.unsqueeze(1)).unsqueeze(2) + model.step.log_softmax(1)
        filtered = filtered.logsumexp(1)


def test_marks_by_configuration_and_steps_by_svi():
    """config_enumerate marks a program from outside; SVI takes the step that Pyro's would."""
    stepped = []
    for objective in (Sampled(), TraceEnum_ELBO(max_plate_nesting=1)):
        pyro.clear_param_store()
        model, guide = Model(3, "y"), Guide(3, "y", infer={})
        optimizer = pyro.optim.SGD({"lr": 0.1})
        svi = SVI(model, config_enumerate(guide), optimizer, loss=objective)
        stepped.append((svi.step(X), [p.detach().clone() for p in guide.parameters()]))
    torch.testing.assert_close(*stepped)
