# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A program receives the fields that it names, wherever the engine calls it."""

import functools

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO

from pyro_textvae.errors import UserError
from pyro_textvae.infer import IWAE, BetaELBO, SemiAmortisedELBO, log_weights
from pyro_textvae.infer.loss_module import loss_module
from pyro_textvae.infer.simulate import fields_of, simulate, takes_condition
from pyro_textvae.models import SentenceVAE
from tests.programs.pairs import TEXT_AND_SOURCE, conditional

BATCH = TEXT_AND_SOURCE | {"labels": torch.tensor([0, 1, -1, 1])}


def test_model_that_names_no_field_is_given_a_number_of_sentences(pair):
    model, _ = pair
    for condition in (3, {"tokens": BATCH["tokens"][:3]}, {"labels": BATCH["labels"][:3]}):
        assert simulate(model, condition).nodes["x"]["value"].shape == (3, 6)


def test_model_is_given_the_fields_that_it_names():
    model, _ = conditional()
    assert simulate(model, BATCH).nodes["x"]["value"].shape == (4, 6)
    with pytest.raises(UserError, match="ConditionalVAE needs the field 'source', and the batch"):
        simulate(model, {"labels": BATCH["labels"]})


def test_number_of_sentences_goes_along_where_it_is_named():
    calls = []

    class Model(torch.nn.Module):
        def forward(self, labels=None, *, size=None):
            calls.append((labels, size))

    simulate(Model(), BATCH)
    (labels, size) = calls[0]
    assert labels is BATCH["labels"]
    assert size == 4
    assert takes_condition(Model(), BATCH)
    assert not takes_condition(SentenceVAE(None, None), BATCH)
    assert not takes_condition(Model(), 5)


def test_programs_in_handlers_and_functions_have_their_own_fields():
    model, guide = conditional()

    def function(source, tokens=None, *, beta=1.0):
        pass

    for program in (
        model,
        poutine.scale(model, 2.0),
        poutine.mask(poutine.scale(model, 2.0), mask=True),
        pyro.plate("particles", 3, dim=-2)(model),
        function,
        functools.partial(function, beta=2.0),
    ):
        assert list(fields_of(program, BATCH)) == ["tokens", "source"]
    assert fields_of(lambda **fields: None, BATCH) == BATCH
    with pytest.raises(UserError, match="ConditionalGuide needs the field 'tokens'"):
        fields_of(poutine.scale(guide, 2.0), {"source": BATCH["source"]})


@pytest.mark.parametrize(
    "wrap", [lambda program: program, lambda program: poutine.scale(program, 2.0)]
)
@pytest.mark.parametrize("objective", [BetaELBO(), IWAE(3), SemiAmortisedELBO(num_steps=2)])
def test_objectives_give_each_program_its_fields(objective, wrap):
    """A model of the source beside a guide of source and text, in a corpus that has labels too."""
    model, guide = conditional()
    loss = objective.differentiable_loss(wrap(model), wrap(guide), **BATCH)
    loss.backward()
    assert loss.isfinite()
    for name, parameter in (*model.named_parameters(), *guide.named_parameters()):
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("theirs", [Trace_ELBO, TraceMeanField_ELBO])
def test_objectives_of_pyro_train_programs_of_different_fields(theirs):
    """``labels`` is in the batch, and neither program names it."""
    model, guide = conditional()
    torch.manual_seed(0)
    loss = loss_module(theirs(), model, guide)(**BATCH)
    torch.manual_seed(0)
    expected = theirs()(model, guide)(**TEXT_AND_SOURCE)
    assert torch.equal(loss, expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    parameters = {*loss_module(theirs(), model, guide).parameters()}
    assert parameters == {*model.parameters(), *guide.parameters()}


def test_svi_takes_a_batch_with_more_fields():
    model, guide = conditional()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=BetaELBO())
    assert svi.step(**BATCH) > 0


def test_positional_arguments_go_to_both_as_they_are(pair, tokens):
    model, guide = pair
    torch.manual_seed(0)
    loss = BetaELBO().differentiable_loss(model, guide, tokens)
    torch.manual_seed(0)
    assert torch.equal(loss, BetaELBO().differentiable_loss(model, guide, tokens=tokens))


def test_log_weights_are_those_of_text_and_source():
    """log p(z | source) + log p(x | z, source) - log q(z | x, source), by hand."""
    model, guide = conditional()
    torch.manual_seed(0)
    with torch.no_grad():
        found = log_weights(model, guide, BATCH, 3)
        torch.manual_seed(0)
        terms = IWAE(3).terms(model, guide, **BATCH)
        z = terms.passes[0][0].draw
        normal = torch.distributions.Normal
        features = model.source_encoder(BATCH["source"])
        loc, log_scale = model.prior(features).chunk(2, -1)
        expected = normal(loc, log_scale.exp()).log_prob(z).sum(-1)
        expected = expected + model.text(z, features).log_prob(BATCH["tokens"])
        both = [guide.encoder(BATCH["tokens"]), guide.source_encoder(BATCH["source"])]
        loc, log_scale = guide.z(torch.cat(both, -1)).chunk(2, -1)
        expected = expected - normal(loc, log_scale.exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
