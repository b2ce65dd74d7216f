# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Samples against languages whose probabilities are known."""

import numpy as np
import pytest
import torch

from pyro_textvae.assessment.metrics import KnownLanguage
from pyro_textvae.data.world import Estimate, Example
from pyro_textvae.run_folder import RunFolder
from tests.assessment.texts import by_name, material


class Coins:
    """One word, a three times in four; two words otherwise."""

    knows_texts_alone = True
    probabilities = {"a": 0.75, "b b": 0.25}

    def log_prob(self, text, *, source=None, label=None):
        return np.log(self.probabilities.get(text, 0.0)) if text in self.probabilities else -np.inf

    def draw(self, generator, split="train"):
        return Example("a" if generator.random() < 0.75 else "b b")

    def entropy(self, num_examples=0, seed=0):
        return Estimate(0.5623351446188083, 0.0)


@pytest.fixture
def run(tmp_path):
    run = material(("a", "a", "b b", "c"), ("a", "a", "a", "b b"), world=Coins())
    run.folder = RunFolder(tmp_path)
    run.corpus.fingerprint = "0123"
    return run


def test_share_and_cross_entropy_of_those_inside(run):
    found = by_name(KnownLanguage(), run)
    assert found["in_language"].value == 0.75
    inside = -np.log([0.75, 0.75, 0.25]).mean()
    assert found["cross_entropy_of_samples"].value == pytest.approx(inside)
    assert found["cross_entropy_of_samples"].num_sentences == 3
    assert found["cross_entropy_of_samples"].real == pytest.approx(0.5623351446188083)
    # Lengths: 3 of 4 are one word, as in the truth; 10,000 draws tell that to 0.01.
    assert found["length_variation"].value == pytest.approx(0.0, abs=0.02)
    assert "cross_entropy_of_truth" not in found
    assert "has not been evaluated" in run.remarks[0] or "is not a run" in run.remarks[0]


def test_variation_of_lengths_is_half_the_sum(run):
    run.samples = material(("x y z",) * 4).samples
    found = by_name(KnownLanguage(), run)
    assert found["in_language"].value == 0.0
    assert "cross_entropy_of_samples" not in found
    assert found["length_variation"].value == pytest.approx(1.0)


def test_cross_entropy_of_the_truth_is_the_nll_of_the_evaluation(run, tmp_path, monkeypatch):
    import pyro_textvae.assessment.metrics.known_language as module

    evaluation = {"split": "test", "corpus_fingerprint": "0123", "nll": 2.0, "num_samples": 100}
    monkeypatch.setattr(module, "read_evaluation", lambda folder: evaluation)
    columns = {"log_px": torch.tensor([-1.0, -3.0])}
    monkeypatch.setattr(module, "read_sentences", lambda folder, evaluation: columns)
    number = by_name(KnownLanguage(), run)["cross_entropy_of_truth"]
    assert (number.value, number.num_sentences, number.material) == (2.0, 2, "evaluation")
    assert run.used["evaluation"]["num_samples"] == 100
    evaluation["corpus_fingerprint"] = "another"
    assert "cross_entropy_of_truth" not in by_name(KnownLanguage(), run)
    assert "is of other text" in run.remarks[-1]


def test_it_needs_a_truth(run):
    run.corpus.world.knows_texts_alone = False
    assert "given its source alone" in KnownLanguage().why_not(run)
    run.corpus.world = None
    assert "known truth" in KnownLanguage().why_not(run)
