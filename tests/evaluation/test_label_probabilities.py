# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""p(y | x) by Bayes' rule and by the guide, against sums over a grid."""

import pytest
import torch

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.label_probabilities import LabelProbabilities
from pyro_textvae.evaluation.proposals import AdaptiveProposal
from tests.models.test_labelled_models import (
    GRID,
    KINDS,
    LABELS,
    NUM_LABELS,
    guide_of_words,
    log_joint,
    model_of,
)
from tests.quadrature import SENTENCES

NAMES = ("bad", "good")


def exact_log_posterior(model):
    z = GRID[:, None].expand(-1, len(SENTENCES))
    with torch.no_grad():
        by_label = [log_joint(model, SENTENCES, z, y).logsumexp(0) for y in range(NUM_LABELS)]
    return torch.stack(by_label, 1).log_softmax(1)


def found(kind, seed=0, labels=LABELS, num_samples=100):
    model, guide = model_of(kind), guide_of_words()
    batches = [{"tokens": SENTENCES, "labels": labels}]
    # The guide was not trained, and its weights have heavy tails.
    proposal = AdaptiveProposal()
    result = log_likelihood(model, guide, batches, num_samples, seed, proposal=proposal)
    return LabelProbabilities.of(result, NAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_by_bayes_and_by_the_guide(kind):
    guide, result = guide_of_words(), found(kind, num_samples=2000)
    exact = exact_log_posterior(model_of(kind)).exp()
    error = result.by_bayes.exp() - exact
    assert (error.abs() < 4.5 * result.standard_error + 1e-6).all()
    assert (result.standard_error < 0.06).all()
    with torch.no_grad():
        by_guide = guide.label_logits(guide.encoder(SENTENCES)).log_softmax(-1)
    torch.testing.assert_close(result.by_guide, by_guide)
    assert torch.equal(result.given, LABELS)


def test_error_is_that_of_other_draws():
    results = [found("labelled_vae", seed, num_samples=40) for seed in range(16)]
    spread = torch.stack([each.by_bayes.exp() for each in results]).std(0)
    stated = torch.stack([each.standard_error for each in results]).square().mean(0).sqrt()
    sizeable = spread > 1e-3
    assert sizeable.any()
    assert ((stated / spread)[sizeable].log().abs() < 0.7).all()


def test_labels_that_are_given_do_not_tell_themselves():
    unlabelled = found("labelled_vae", labels=torch.full((4,), -1))
    torch.testing.assert_close(found("labelled_vae").by_bayes, unlabelled.by_bayes)
    assert unlabelled.classifications() == {}
    assert unlabelled.to_dict() == {}


def test_numbers_are_of_the_labelled_alone():
    numbers = found("labelled_mixture_vae").to_dict()
    assert numbers["labels"] == list(NAMES)
    assert {numbers[reader]["num_labelled"] for reader in ("bayes", "guide")} == {2}
    right = found("labelled_mixture_vae").by_bayes.argmax(1)[[0, 2]] == LABELS[[0, 2]]
    assert numbers["bayes"]["accuracy"] == right.double().mean()


def test_no_label_where_none_is_summed():
    model, guide = model_of("labelled_vae"), guide_of_words()
    batches = [{"tokens": SENTENCES, "labels": LABELS}]
    result = log_likelihood(model, guide, batches, num_samples=4)
    assert LabelProbabilities.of(result, ("one", "two", "three")) is None
