# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a classifier, against scikit-learn, by hand and by coverage."""

import math

import numpy as np
import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.classification import Classification

NAMES = ("bad", "fair", "good")


def drawn(size, seed=0, sharpness=1.0):
    """Probabilities, and labels drawn from them: of sharper ones, nobody is so sure."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(size, 3, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return (sharpness * logits).log_softmax(1), labels


def test_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    log_prob, labels = drawn(200)
    result = Classification.of(log_prob, labels, NAMES)
    likeliest = log_prob.argmax(1)
    assert result.accuracy == pytest.approx(metrics.accuracy_score(labels, likeliest))
    assert result.macro_f1 == pytest.approx(metrics.f1_score(labels, likeliest, average="macro"))
    assert result.label_nll == pytest.approx(metrics.log_loss(labels, log_prob.exp()))
    assert result.confusion.tolist() == metrics.confusion_matrix(labels, likeliest).tolist()


def test_by_hand():
    """Two of three are right; the label that nothing is taken for counts, with an F1 of 0."""
    log_prob = torch.tensor([[0.9, 0.05, 0.05], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1]]).log()
    result = Classification.of(log_prob, torch.tensor([0, 2, 1]), NAMES)
    assert result.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.macro_f1 == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert result.label_nll == pytest.approx(-math.log(0.9 * 0.7 * 0.3) / 3)
    # Of so few, each is a group of its own.
    assert result.calibration_error == pytest.approx((0.1 + 0.3 + 0.6) / 3)


def test_sentences_without_a_label_are_in_no_number():
    log_prob, labels = drawn(60)
    some = labels.clone()
    some[::3] = -1
    result = Classification.of(log_prob, some, NAMES)
    alone = Classification.of(log_prob[some >= 0], some[some >= 0], NAMES)
    assert result.num_labelled == 40
    assert result.to_dict() == alone.to_dict()


def test_calibration_is_told_from_chance():
    """A calibrated reader has the floor; one that is too sure has more, and a worse nll."""
    log_prob, labels = drawn(3000)
    calibrated = Classification.of(log_prob, labels, NAMES)
    sure = Classification.of(*drawn(3000, sharpness=3.0), NAMES)
    assert calibrated.calibration_error < 1.6 * calibrated.calibration_floor
    assert sure.calibration_error > 4 * sure.calibration_floor
    assert sure.accuracy == calibrated.accuracy
    assert sure.label_nll > calibrated.label_nll + 0.1


@pytest.mark.slow
def test_intervals_cover_the_truth():
    """Of 200 samples of 300 sentences; the truth is of 200,000."""
    truth = Classification.of(*drawn(200_000, seed=999), NAMES, num_resamples=100)
    names = ("accuracy", "macro_f1", "label_nll")
    inside = {name: [] for name in names}
    for seed in range(200):
        result = Classification.of(*drawn(300, seed=seed), NAMES, num_resamples=200, seed=seed)
        for name in names:
            low, high = result.intervals[name]
            inside[name].append(low <= getattr(truth, name) <= high)
    for name in names:
        assert 0.9 <= np.mean(inside[name]) <= 0.99, name


def test_interval_of_the_confusion_is_that_of_a_count():
    log_prob, labels = drawn(400)
    result = Classification.of(log_prob, labels, NAMES)
    torch.testing.assert_close(result.confusion.sum(), torch.tensor(400))
    share = result.confusion.double() / 400
    spread = 1.96 * (400 * share * (1 - share)).sqrt()
    torch.testing.assert_close(result.confusion_low, result.confusion - spread, atol=2.5, rtol=0)
    torch.testing.assert_close(result.confusion_high, result.confusion + spread, atol=2.5, rtol=0)


def test_what_cannot_be():
    log_prob, labels = drawn(5)
    with pytest.raises(UserError, match="no sentence has a label"):
        Classification.of(log_prob, torch.full((5,), -1), NAMES)
    with pytest.raises(ValueError, match=r"must be \(5, 2\), .* got \(5, 3\)"):
        Classification.of(log_prob, labels, NAMES[:2])
    with pytest.raises(ValueError, match="add up to 1"):
        Classification.of(log_prob - 1, labels, NAMES)
