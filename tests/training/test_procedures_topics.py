# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Topics that begin at clusters of the texts."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.models import TopicModel
from pyro_textvae.training import Procedure
from pyro_textvae.training.multinomial_mixture import (
    _expectation_maximisation,
    fit_multinomial_mixture,
)
from pyro_textvae.training.procedures import TopicStart

from .procedure_runs import make_trainer, same, values_of


def texts_of(topics, count, generator):
    which = torch.arange(count) % len(topics)
    words = torch.multinomial(topics[which], 30, replacement=True, generator=generator)
    return torch.stack([row.bincount(minlength=topics.shape[1]) for row in words]).float()


def test_mixture_finds_what_texts_were_drawn_from():
    generator = torch.Generator().manual_seed(0)
    topics = torch.full((5, 25), 0.01)
    for topic in range(5):
        topics[topic, 5 * topic : 5 * topic + 5] = 0.16
    counts = texts_of(topics, 300, generator)
    fitted = fit_multinomial_mixture(counts, 5, generator, num_starts=5)
    distance = 0.5 * (fitted.unsqueeze(1) - topics).abs().sum(-1)
    assert sorted(distance.argmin(0).tolist()) == [*range(5)]
    assert distance.amin(0).max() < 0.1


def test_steps_of_the_mixture_raise_its_likelihood():
    generator = torch.Generator().manual_seed(1)
    counts = texts_of(torch.rand(3, 12, generator=generator), 60, generator)
    start = torch.rand(3, 12, generator=generator)
    start = start / start.sum(-1, keepdim=True)
    totals = [_expectation_maximisation(counts, start, steps)[1] for steps in range(1, 8)]
    assert totals == sorted(totals)
    # By hand: the text of equal shares of the components at the start.
    by_hand = ((counts @ start.log().T).exp() / 3).sum(-1).log().sum()
    assert totals[0] == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["lda", "prodlda", "etm"])
def test_topics_are_those_that_are_set(kind):
    torch.manual_seed(0)
    model = TopicModel(3, 10, 5, 8, kind, stop_words=1)
    topics = torch.zeros(3, 10)
    topics[:, 5:] = torch.rand(3, 5).softmax(-1)
    model.begin_topics_at(topics)
    torch.testing.assert_close(model.topics(), topics, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="nvdm has no topics"):
        TopicModel(3, 10, 5, 8, "nvdm").begin_topics_at(topics)


def test_the_guide_alone_learns_first(tmp_path):
    """The topics stand still for an epoch, and move in the next."""
    programs = {"model": "topic_model", "guide": "topic", "encoder": "bag_of_words"}

    class Watched(TopicStart):
        def before_training(self, trainer):
            self.random = values_of(trainer.model), values_of(trainer.guide)
            super().before_training(trainer)
            self.seen = [(values_of(trainer.model), values_of(trainer.guide))]

        def after_epoch(self, trainer, validation):
            super().after_epoch(trainer, validation)
            self.seen.append((values_of(trainer.model), values_of(trainer.guide)))

    procedure = Watched(start_texts=20)
    make_trainer(tmp_path, procedure, epochs=2, **programs).fit()
    start, first, second = procedure.seen
    assert not same(procedure.random[0], start[0])
    assert same(start[0], first[0])
    assert not same(start[1], first[1])
    assert not same(first[0], second[0])
    assert same(procedure.random[1], start[1])


def test_what_hangs_on_no_topic_begins_at_what_it_is():
    model = TopicModel(2, 8, 5, 4, "lda", stop_words=1, max_sentences=3)
    counts = torch.tensor([9, 0, 4, 1, 2, 3, 3, 1]).float()
    model.begin_beside_topics_at(counts, torch.tensor([2, 2, 3, 3]), torch.tensor([1, 1, 2]))
    # Of 10 words one is <unk>, two are the stop word and seven are of topics.
    shares = model.words.outside_scores.softmax(-1)
    torch.testing.assert_close(shares, torch.tensor([1.1, 2.1, 7.1]) / 10.3)
    lengths = model.words.length_scores.softmax(-1)
    torch.testing.assert_close(lengths[[0, 2, 3]], torch.tensor([0.1, 2.1, 2.1]) / 4.6)
    numbers = model.number_scores.softmax(-1)
    torch.testing.assert_close(numbers, torch.tensor([2.1, 1.1, 0.1]) / 3.3)


def test_a_model_without_topics_is_refused(tmp_path):
    with pytest.raises(UserError, match="SentenceVAE has no method begin_topics_at"):
        make_trainer(tmp_path, TopicStart())
    with pytest.raises(ValueError, match="start_texts must be at least 1"):
        TopicStart(start_texts=0)
    assert TopicStart().name == "topic_start"
    assert isinstance(TopicStart(), Procedure)
