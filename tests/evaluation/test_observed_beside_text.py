# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is observed beside the text counts too, and the sum has a name of its own."""

import math

import pyro
import pytest
import torch
from pyro import poutine

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.infer.sites import observed_beside_text
from tests.programs.observed_label import ObservedLabelVAE


@pytest.fixture
def labelled(pair):
    model, _ = pair
    return ObservedLabelVAE(model.prior, model.decoder).eval()


@pytest.fixture
def batch(tokens):
    return {"tokens": tokens, "labels": torch.tensor([0, 1, 1, 0])}


def test_nll_of_text_and_label_is_not_called_that_of_the_text(pair, labelled, batch):
    """Each label has probability 1/2, whatever z is: ln 2 on top of the text's nll."""
    model, guide = pair
    text = log_likelihood(model, guide, [batch], 50)
    joint = log_likelihood(labelled, guide, [batch], 50, sum_labels=False)
    assert joint.beside_text == ("y",)
    assert joint.nll_joint == pytest.approx(text.nll + math.log(2), abs=1e-9)
    unknown = (joint.nll, joint.ppl, joint.ppl_elbo, joint.bits_per_word)
    assert all(math.isnan(number) for number in unknown)
    assert joint.notes[0].startswith("the model observes 'y' beside the text: nll_joint, elbo and")
    assert text.beside_text == text.notes == ()
    assert text.nll_joint == text.nll


def test_nll_of_the_text_is_known_where_the_label_can_be_summed_out(pair, labelled, batch):
    model, guide = pair
    text = log_likelihood(model, guide, [batch], 200)
    summed = log_likelihood(labelled, guide, [batch], 200)
    error = math.hypot(text.nll_standard_error, summed.nll_standard_error)
    assert abs(summed.nll - text.nll) < 4 * error
    assert abs(summed.label_nll - math.log(2)) < 4 * summed.label_nll_standard_error
    assert summed.nll_joint == pytest.approx(summed.nll + summed.label_nll, abs=1e-9)
    assert summed.ppl == pytest.approx(math.exp(summed.nll * 4 / summed.num_tokens))
    assert summed.beside_text == ()


@pytest.mark.parametrize("name", ["x", "words"])
def test_factors_count_as_observed_and_the_text_is_known_by_its_value(name):
    tokens = torch.tensor([[4, 2]])

    def program(factor):
        with pyro.plate("data", 1):
            words = pyro.distributions.Categorical(torch.ones(1, 2, 9)).to_event(1)
            pyro.sample(name, words, obs=tokens)
            if factor:
                pyro.factor("penalty", torch.zeros(1))

    def beside(factor):
        with pyro.validation_enabled(False):
            return observed_beside_text(poutine.trace(program).get_trace(factor), tokens)

    assert beside(False) == []
    assert beside(True) == ["penalty"]


def test_words_that_make_up_the_text_are_not_beside_it():
    """The text is computed of the sites of its words; what else is observed is beside it."""
    tokens = torch.tensor([[4, 2]])

    def program():
        with pyro.plate("data", 1):
            words = [
                pyro.sample(f"x_{t}", pyro.distributions.Categorical(torch.ones(9)), obs=word)
                for t, word in enumerate(tokens.unbind(-1))
            ]
            pyro.sample("y", pyro.distributions.Normal(0.0, 1.0), obs=torch.zeros(1))
            pyro.deterministic("x", torch.stack(words, -1), event_dim=1)

    assert observed_beside_text(poutine.trace(program).get_trace(), tokens) == ["y"]
