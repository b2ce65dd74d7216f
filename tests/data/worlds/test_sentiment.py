# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of labels against Bayes by hand."""

import math

import numpy as np
import pytest

from pyro_textvae.data.worlds import SentimentWorld
from pyro_textvae.errors import UserError

NOISY = SentimentWorld(delta=0.6, noise=0.2)


def test_posterior_is_bayes_by_hand():
    generator = np.random.default_rng(0)
    for _ in range(20):
        example = NOISY.draw(generator)
        negative, positive = (math.exp(g.log_prob(example.text.split())) for g in NOISY.grammars)
        p = positive / (negative + positive)
        posterior = NOISY.label_posterior(example.text)
        assert posterior["positive"] == pytest.approx(0.8 * p + 0.2 * (1 - p), abs=1e-12)
        assert sum(posterior.values()) == pytest.approx(1, abs=1e-12)
        given = NOISY.log_prob(example.text, label="positive")
        by_bayes = math.log(posterior["positive"] / 0.5) + NOISY.log_prob(example.text)
        assert given == pytest.approx(by_bayes, abs=1e-10)
        alone = math.log(0.5 * (negative + positive))
        assert NOISY.log_prob(example.text) == pytest.approx(alone, abs=1e-10)


def test_labels_are_as_often_right_as_the_best_reader_is():
    """What is drawn agrees with the exact accuracy within 4.5 errors of 250 draws."""
    generator = np.random.default_rng(1)
    examples = [NOISY.draw(generator) for _ in range(250)]
    posteriors = [NOISY.label_posterior(example.text) for example in examples]
    right = [max(p, key=p.get) == e.label for p, e in zip(posteriors, examples, strict=True)]
    accuracy = NOISY.bayes_accuracy(250, seed=2)
    error = math.hypot(np.std(right) / len(right) ** 0.5, accuracy.standard_error)
    assert abs(np.mean(right) - accuracy.value) < 4.5 * error
    surprise = [-math.log(p[e.label]) for p, e in zip(posteriors, examples, strict=True)]
    entropy = NOISY.label_entropy(250, seed=2)
    error = math.hypot(np.std(surprise) / len(surprise) ** 0.5, entropy.standard_error)
    assert abs(np.mean(surprise) - entropy.value) < 4.5 * error


@pytest.mark.parametrize(("delta", "accuracy"), [(0.0, 0.5), (0.3, 0.67), (1.0, 0.885)])
def test_classes_are_as_far_apart_as_is_asked_for(delta, accuracy):
    measured = SentimentWorld(delta=delta).bayes_accuracy(300)
    assert measured.value == pytest.approx(accuracy, abs=4.5 * measured.standard_error + 0.005)


def test_without_delta_all_is_the_grammar():
    world = SentimentWorld(delta=0.0)
    text = "mary happily smiled"
    assert world.log_prob(text) == pytest.approx(world.log_prob(text, label="negative"), abs=1e-12)
    with pytest.raises(UserError, match="no sentence of world:sentiment"):
        world.label_posterior("smiled mary")
