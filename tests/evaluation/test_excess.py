# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The excess over a known truth, given what the model takes."""

import pytest
import torch
from torch import nn

from pyro_textvae.data import load_corpus
from pyro_textvae.evaluation.excess import Excess


class TakesTextAlone(nn.Module):
    def forward(self, tokens=None, *, size=None):
        raise AssertionError


class TakesSource(nn.Module):
    def forward(self, source, tokens=None):
        raise AssertionError


@pytest.mark.parametrize("split", ["train", "test"])
def test_truth_is_given_what_the_model_takes(split):
    corpus = load_corpus("world:paraphrase", num_sentences=200)
    nothing = torch.zeros(len(corpus.split(split)))
    alone = Excess.of(corpus, split, TakesTextAlone(), nothing)
    given = Excess.of(corpus, split, TakesSource(), nothing)
    for excess, entropy in (
        (alone, corpus.world.entropy()),
        (given, corpus.world.conditional_entropy()),
    ):
        # Against a model of log p = 0 the excess is minus the entropy.
        assert abs(excess.mean + entropy.value) < 4.5 * excess.standard_error
        assert excess.to_dict()["is_below"]
    truth = [
        corpus.world.log_prob(
            corpus.tokenizer.decode(corpus.split(split)[i].tolist()),
        )
        for i in range(5)
    ]
    assert alone.log_px_true[:5].tolist() == pytest.approx(truth)


def test_difference_of_the_same_texts_is_paired():
    truth = torch.randn(400, dtype=torch.float64) * 10 - 30
    noise = torch.randn(400, dtype=torch.float64) * 0.1
    excess = Excess(truth, truth - 0.5 + noise)
    assert excess.mean == pytest.approx(0.5, abs=4.5 * excess.standard_error)
    assert excess.standard_error == pytest.approx(0.1 / 20, rel=0.2)
    assert not excess.to_dict()["is_below"]


def test_no_excess_where_the_truth_is_not_known(tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("one two\ntwo one\n")
    of_text = load_corpus(tmp_path)
    assert Excess.of(of_text, "test", TakesTextAlone(), torch.zeros(len(of_text.test))) is None
    corpus = load_corpus("world:headlines", num_sentences=60)
    nothing = torch.zeros(len(corpus.test))
    assert Excess.of(corpus, "test", TakesTextAlone(), nothing) is None
    assert Excess.of(corpus, "test", TakesSource(), nothing) is not None


def test_labels_are_given_to_a_model_that_takes_them():
    class TakesLabels(nn.Module):
        def forward(self, labels, tokens=None):
            raise AssertionError

    corpus = load_corpus("world:sentiment", num_sentences=60)
    nothing = torch.zeros(len(corpus.test))
    excess = Excess.of(corpus, "test", TakesLabels(), nothing)
    batch = next(corpus.batches("test", 60, shuffle=False))
    index = int(batch.indices[0])
    label = corpus.label_names[int(batch["labels"][0])]
    text = corpus.tokenizer.decode(corpus.test[index].tolist())
    assert excess.log_px_true[index] == pytest.approx(corpus.world.log_prob(text, label=label))
