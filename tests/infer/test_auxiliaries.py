# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Auxiliary losses: their values by hand, where their gradient goes, and what they leave alone."""

import math

import pyro
import pytest
import torch
from pyro.infer import SVI
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.guides import LabelledGuide
from pyro_textvae.infer import (
    IWAE,
    AttributeConsistency,
    AuxiliaryLoss,
    BagOfWords,
    BetaELBO,
    DReG,
    FreeBits,
    LabelClassification,
    Length,
    TrainingPass,
    WakeSleep,
)
from pyro_textvae.models import LabelledVAE, SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from tests.programs.pairs import CONVERSATIONS, conversations, hierarchy

VOCAB_SIZE, MAX_LENGTH = 7, 6


class ByLabel(SentenceVAE):
    """Moves z by the label, in the text's distribution."""

    def __init__(self, prior, decoder):
        super().__init__(prior, decoder)
        self.shift = nn.Embedding(2, decoder.latent_dim).double()

    def forward(self, tokens=None, labels=None, *, size=None):
        size = size if tokens is None else len(tokens)
        with pyro.plate("data", size if labels is None else len(labels)):
            z = pyro.sample("z", self.prior())
            if labels is not None:
                z = z + self.shift(labels.clamp(min=0))
            return pyro.sample("x", self.decoder(z), obs=tokens)


def bag_of_words(**options):
    return BagOfWords({"z": 2}, VOCAB_SIZE, 5, **options).double()


def length(**options):
    return Length({"z": 2}, MAX_LENGTH, **options).double()


def consistency(**options):
    return AttributeConsistency(VOCAB_SIZE, 2, 4, **options).double()


MEMBERS = {
    "bag_of_words": bag_of_words,
    "length": length,
    "attribute_consistency": consistency,
    "label_classification": LabelClassification,
}


def losses(auxiliary, pair, batch, *, num_particles=3, vectorised=True):
    objective = BetaELBO(num_particles=num_particles, vectorize_particles=vectorised)
    terms = objective.terms(*pair, **batch)
    return auxiliary(TrainingPass(pair[0], batch, terms)), terms


@pytest.fixture
def labelled(pair, tokens):
    model = ByLabel(pair[0].prior, pair[0].decoder)
    return (model, pair[1]), {"tokens": tokens, "labels": torch.tensor([0, 1, -1, 1])}


@pytest.fixture
def of_labels(tokens):
    """The programs of a label, with every part in double precision."""
    torch.manual_seed(2)
    sizes = {"vocab_size": VOCAB_SIZE, "embedding_dim": 4, "hidden_dim": 5}
    decoder = LSTMDecoder(**sizes, latent_dim=2 + 2, max_length=MAX_LENGTH)
    model = LabelledVAE(StandardNormal(2), decoder, num_labels=2).double()
    guide = LabelledGuide(LSTMEncoder(**sizes), latent_dim=2, num_labels=2).double()
    return (model, guide), {"tokens": tokens, "labels": torch.tensor([0, 1, -1, 1])}


def test_every_member_is_tried():
    assert set(MEMBERS) == set(zoo.names("auxiliaries"))
    assert {name: make().name for name, make in MEMBERS.items()} == {n: n for n in MEMBERS}


@pytest.mark.parametrize("vectorised", [True, False])
def test_bag_of_words_by_hand(pair, tokens, vectorised):
    auxiliary = bag_of_words()
    found, terms = losses(auxiliary, pair, {"tokens": tokens}, vectorised=vectorised)
    draws = torch.cat([site.draw.reshape(-1, 4, 2) for (site,) in terms.passes])
    for i, row in enumerate(tokens.tolist()):
        total = 0.0
        for z in draws[:, i]:
            log_prob = auxiliary.scores(z).log_softmax(-1)
            words = row[: row.index(2)]
            total += sum(log_prob[word - 2].item() for word in words)
        assert found[i].item() == pytest.approx(-total / 3)


def test_length_by_hand(pair, tokens):
    auxiliary = length()
    found, terms = losses(auxiliary, pair, {"tokens": tokens})
    draws = terms.passes[0][0].draw
    for i, row in enumerate(tokens.tolist()):
        log_prob = auxiliary.scores(draws[:, i]).log_softmax(-1)[:, row.index(2)]
        assert found[i].item() == pytest.approx(-log_prob.mean().item())


def test_consistency_of_sharp_words_is_what_the_classifier_says_of_them(labelled):
    """At a low temperature the words are those of greedy decoding, up to their ``<eos>``."""
    (model, guide), batch = labelled
    auxiliary = consistency(temperature=1e-6)
    drawn = {"z": torch.randn(4, 2).double()}
    terms = BetaELBO().terms(model, guide, **batch)
    with pyro.poutine.condition(data=drawn):
        found = auxiliary(TrainingPass(model, batch, terms))
    rows = model.decoder(drawn["z"] + model.shift(batch["labels"].clamp(min=0))).greedy()
    width = batch["tokens"].shape[1]
    given = [batch["tokens"], rows[:, :width]]
    by_hand = [auxiliary.of_text(text).log_softmax(-1) for text in given]
    expected = -sum(scores[torch.arange(4), batch["labels"].clamp(min=0)] for scores in by_hand)
    expected[2] = 0.0
    torch.testing.assert_close(found, expected)


def test_consistency_teaches_each_side_its_own(labelled):
    """The generated text trains the model, and the classifier by the text that is given alone."""
    (model, guide), batch = labelled
    auxiliary = consistency()
    found, _ = losses(auxiliary, (model, guide), batch, num_particles=1)
    parameters = [*auxiliary.parameters()]
    gradients = torch.autograd.grad(found.sum(), [*parameters, *model.parameters()])
    of_text = auxiliary.of_text(batch["tokens"])
    alone = nn.functional.cross_entropy(of_text, batch["labels"], reduction="sum", ignore_index=-1)
    expected = torch.autograd.grad(alone, parameters)
    for one, other in zip(gradients, expected, strict=False):
        torch.testing.assert_close(one, other)
    assert all(gradient.abs().sum() > 0 for gradient in gradients[len(parameters) :])


@pytest.mark.parametrize("vectorised", [True, False])
def test_classification_by_hand(of_labels, vectorised):
    (model, guide), batch = of_labels
    found, _ = losses(LabelClassification(), (model, guide), batch, vectorised=vectorised)
    log_q = guide.label_logits(guide.encoder(batch["tokens"])).log_softmax(-1)
    expected = -torch.stack([log_q[0, 0], log_q[1, 1], log_q[2, 0] * 0, log_q[3, 1]])
    torch.testing.assert_close(found, expected)


def test_classification_teaches_the_guide_alone(of_labels):
    (model, guide), batch = of_labels
    found, _ = losses(LabelClassification(), (model, guide), batch)
    parameters = {"model": [*model.parameters()], "guide": [*guide.label_logits.parameters()]}
    given = torch.autograd.grad(
        found.sum(), [*parameters["model"], *parameters["guide"]], allow_unused=True
    )
    of_model, of_guide = given[: len(parameters["model"])], given[len(parameters["model"]) :]
    assert all(gradient is None or not gradient.any() for gradient in of_model)
    assert all(gradient.abs().sum() > 0 for gradient in of_guide)


def test_classification_needs_a_posterior_of_a_label(labelled):
    message = "at the site 'y_unobserved', and the guide has z: take a guide that has it"
    with pytest.raises(UserError, match=message):
        losses(LabelClassification(), *labelled)


def test_consistency_of_the_programs_of_a_label(of_labels):
    """It trains the decoder to say the label; an unlabelled sentence adds nothing."""
    (model, guide), batch = of_labels
    found, _ = losses(consistency(), (model, guide), batch)
    assert found[2] == 0
    assert (found[[0, 1, 3]] > 0).all()
    gradients = torch.autograd.grad(found.sum(), [*model.decoder.parameters()])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", zoo.names("objectives"))
def test_every_objective_adds_it_to_its_loss_alone(pair, tokens, name):
    """What is added is the weighted loss at the objective's own draws; the bound is the bound."""
    objective_class = zoo.load("objectives", name)
    auxiliary = bag_of_words(weight=0.3)
    plain, joined = objective_class(), objective_class(auxiliaries=[auxiliary])
    numbers, gradients = [], []
    if name in ("thermodynamic_elbo", "wake_sleep"):
        with pytest.raises(ValueError, match="'bag_of_words' trains the guide through its draws"):
            joined.differentiable_loss(*pair, tokens=tokens)
        return
    for objective in (plain, joined):
        pyro.set_rng_seed(3)
        loss = objective.differentiable_loss(*pair, tokens=tokens)
        numbers.append(loss.item())
        guide = [*pair[1].parameters()]
        gradients.append(torch.autograd.grad(loss, guide))
    added = joined.latest_auxiliaries["bag_of_words"]
    assert numbers[1] - numbers[0] == pytest.approx(0.3 * added.sum().item())
    assert plain.latest_auxiliaries == {}
    for one, other in zip(plain.latest.kl.values(), joined.latest.kl.values(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(plain.bound(plain.latest), joined.bound(joined.latest))
    assert not all(torch.equal(*each) for each in zip(*gradients, strict=True))


@pytest.mark.parametrize("kind", [BetaELBO, IWAE, DReG])
def test_gradient_of_the_guide_is_that_of_both(pair, tokens, kind):
    """Through the draws as they are, whatever the estimator does with those of the model."""
    auxiliary = length(weight=2.0)
    guide = [*pair[1].parameters()]
    found = []
    for given in ([auxiliary], []):
        objective = kind(num_particles=4, auxiliaries=given)
        pyro.set_rng_seed(5)
        loss = objective.differentiable_loss(*pair, tokens=tokens)
        found.append(torch.autograd.grad(loss, guide))
    pyro.set_rng_seed(5)
    alone, _ = losses(auxiliary, pair, {"tokens": tokens}, num_particles=4)
    expected = torch.autograd.grad(2 * alone.sum(), guide)
    for both, plain, added in zip(*found, expected, strict=True):
        torch.testing.assert_close(both, plain + added)


def test_detached_draws_are_enough_for_what_needs_none(labelled):
    (model, guide), batch = labelled
    objective = WakeSleep(num_particles=2, auxiliaries=[consistency()])
    objective(model, guide)(**batch).backward()
    assert model.shift.weight.grad.abs().sum() > 0


def test_a_constraint_stands_beside_it(pair, tokens):
    both = BetaELBO(0.5, constraint=FreeBits(2.0), auxiliaries=[bag_of_words(), length()])
    plain = BetaELBO(0.5, constraint=FreeBits(2.0))
    pyro.set_rng_seed(1)
    loss = both.loss(*pair, tokens=tokens)
    pyro.set_rng_seed(1)
    added = sum(value.sum().item() for value in both.latest_auxiliaries.values())
    assert loss == pytest.approx(plain.loss(*pair, tokens=tokens) + added)


def test_likelihood_and_bound_of_the_same_weights_are_the_same(labelled):
    """After training with it, by everything that is evaluated."""
    (model, guide), batch = labelled
    model.train()
    objective = BetaELBO(auxiliaries=[bag_of_words(), length(), consistency()])
    module = objective(model, guide)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        module(**batch).backward()
        optimizer.step()
    results = [log_likelihood(model, guide, [batch], num_samples=20, seed=4)]
    del objective.auxiliaries, module.auxiliaries
    results.append(log_likelihood(model, guide, [batch], num_samples=20, seed=4))
    for name in ("log_px", "elbo", "reconstruction", "kl"):
        assert torch.equal(*(getattr(result, name) for result in results)), name


def test_its_parameters_are_those_of_the_loss_module_and_of_svi(pair, tokens):
    auxiliary = bag_of_words()
    module = BetaELBO(auxiliaries=[auxiliary])(*pair)
    assert {id(p) for p in auxiliary.parameters()} <= {id(p) for p in module.parameters()}
    module.train(False)
    assert not auxiliary.training
    before = [p.detach().clone() for p in auxiliary.parameters()]
    objective = BetaELBO(auxiliaries=[auxiliary])
    svi = SVI(*pair, pyro.optim.Adam({"lr": 0.01}), loss=objective)
    svi.step(tokens=tokens)
    for old, new in zip(before, auxiliary.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_several_latents_are_read_side_by_side_or_by_name():
    model, guide = hierarchy()
    batch = {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}
    dims = {"topic": 2, "z": 2}
    terms = BetaELBO(num_particles=3).terms(model, guide, **batch)
    (sites,) = terms.passes
    given = TrainingPass(model, batch, terms)
    both = BagOfWords(dims, VOCAB_SIZE, 5).latents(given)
    assert torch.equal(both, torch.cat([site.draw for site in sites], -1))
    z = BagOfWords(dims, VOCAB_SIZE, 5, sites=["z"]).latents(given)
    assert torch.equal(z, sites[1].draw)
    message = "'topics', and .* alone are topic, z; did you mean 'topic'"
    with pytest.raises(UserError, match=message):
        Length(dims, MAX_LENGTH, sites=["topics"])


@pytest.mark.parametrize("data_dim", [-2, -1])
def test_a_latent_of_the_whole_text_beside_those_of_its_turns(data_dim):
    model, guide = conversations(data_dim)
    batch = {"tokens": CONVERSATIONS}
    auxiliary = BagOfWords({"z": 1}, 20, 5).double()
    for count in (1, 2):
        found, terms = losses(auxiliary, (model, guide), batch, num_particles=count)
        assert found.shape == (3,)
    log_prob = auxiliary.scores(terms.passes[0][0].draw.reshape(2, 3, 1)).log_softmax(-1)
    words = [[5, 9, 5, 3, 7], [17, 6], [4, 4]]
    by_hand = [-log_prob[:, i, torch.tensor(row) - 2].sum(-1).mean() for i, row in enumerate(words)]
    torch.testing.assert_close(found, torch.stack(by_hand))
    with pytest.raises(UserError, match="'z_turn' has several, in the plate 'turns': leave it out"):
        losses(BagOfWords({"z_turn": 1}, 20, 5).double(), (model, guide), batch)
    with pytest.raises(UserError, match="length predicts one length a datum"):
        losses(Length({"z": 1}, 20).double(), (model, guide), batch)


class Unfinished(AuxiliaryLoss):
    needs_gradient_through_draws = False


class OfTheBatch(AuxiliaryLoss):
    def forward(self, training_pass):
        return self.latents(training_pass).sum()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [bag_of_words(weight=-1.0)], "weight must be finite and not negative, got -1.0"),
        (lambda: [bag_of_words(weight=math.nan)], "weight must be finite"),
        (lambda: [length(), length()], "two auxiliary losses 'length'"),
        (lambda: [consistency(temperature=0.0)], "temperature must be positive and finite, got 0"),
        (lambda: [AttributeConsistency(7, 0)], "num_labels must be at least 2, got 0: .*--label"),
        (lambda: [consistency()], "needs the field 'labels', and the batch has tokens"),
        (lambda: [BagOfWords({"y": 2}, 7)], "bag_of_words reads the latent site 'y', and there"),
        (lambda: [BagOfWords({}, 7, 5)], "bag_of_words reads latent vectors .*, and has none"),
        (lambda: [bag_of_words(sites=[])], "bag_of_words reads latent vectors .*, and has none"),
        (lambda: [bag_of_words(sites="z")], "sites must be a list of names, got 'z'"),
        (lambda: [OfTheBatch()], "OfTheBatch has no latent_dims, so it reads no latents"),
        (lambda: [OfTheBatch(latent_dims={"z": 2})], r"'OfTheBatch' must be .* \(4,\), got \(\)"),
    ],
)
def test_what_cannot_be_is_named(pair, tokens, make, message):
    with pytest.raises(ValueError, match=message):
        BetaELBO(auxiliaries=make()).differentiable_loss(*pair, tokens=tokens)


def test_a_loss_without_a_forward_says_so(pair, tokens):
    with pytest.raises(NotImplementedError, match="Unfinished does not define forward"):
        BetaELBO(auxiliaries=[Unfinished()]).differentiable_loss(*pair, tokens=tokens)


def test_consistency_needs_a_model_that_generates_by_the_label(labelled, pair):
    _, batch = labelled
    with pytest.raises(UserError, match="its forward does not name 'labels'"):
        BetaELBO(auxiliaries=[consistency()]).differentiable_loss(*pair, **batch)
