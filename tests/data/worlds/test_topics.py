# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of topics against sums by hand over topics and shares, and against draws."""

import math
from itertools import permutations, product

import numpy as np
import pytest

from pyro_textvae.data.worlds import TopicsWorld
from pyro_textvae.errors import UserError
from tests.data.worlds.draws import z_of_draws

SMALL = TopicsWorld(num_topics=3, num_words=2, labels=True)


def joint_by_hand(world, text):
    """p(text, main topic, other topic, share) one by one."""
    joint = {}
    for (main, other), share in product(permutations(range(3), 2), world.shares):
        p = 1 / (3 * 2 * len(world.shares))
        for word in text.split():
            of_main, of_other = world.topic_words[[main, other], world.lexicon.index(word)]
            p *= share * of_main + (1 - share) * of_other
        joint[main, other, share] = p
    return joint


def all_texts(world):
    return [" ".join(words) for words in product(world.lexicon, repeat=world.num_words)]


def test_texts_sum_to_one():
    for label in (None, "sailing"):
        total = sum(math.exp(SMALL.log_prob(text, label=label)) for text in all_texts(SMALL))
        assert total == pytest.approx(1, abs=1e-10)


def test_posteriors_are_those_of_bayes_rule():
    generator = np.random.default_rng(0)
    for _ in range(10):
        text = SMALL.draw(generator).text
        joint = joint_by_hand(SMALL, text)
        total = sum(joint.values())
        assert SMALL.log_prob(text) == pytest.approx(math.log(total), abs=1e-12)
        mixture = SMALL.mixture_posterior(text)
        shares, mains = np.zeros(3), np.zeros(3)
        for (main, other, share), p in joint.items():
            assert mixture[main, other, SMALL.shares.index(share)] == pytest.approx(p / total)
            shares[main] += share * p / total
            shares[other] += (1 - share) * p / total
            mains[main] += p / total
        assert SMALL.topic_posterior(text) == pytest.approx(shares, abs=1e-12)
        posterior = SMALL.label_posterior(text)
        assert list(posterior.values()) == pytest.approx(mains, abs=1e-12)
        given = SMALL.log_prob(text, label="farming")
        assert given == pytest.approx(SMALL.log_prob(text) + math.log(3 * mains[1]), abs=1e-12)


def test_each_text_is_drawn_as_often_as_claimed_and_a_wrong_sampler_is_found_out():
    """Within 4.5 errors of a chi-square over some 300 pairs; with sharper topics far outside."""
    claimed = {text: math.exp(SMALL.log_prob(text)) for text in all_texts(SMALL)}
    wrong = TopicsWorld(num_topics=3, num_words=2)
    sharper = wrong.topic_words**1.5
    wrong.topic_words = sharper / sharper.sum(1, keepdims=True)
    z = {}
    for name, world in (("right", SMALL), ("wrong", wrong)):
        generator = np.random.default_rng(1)
        z[name] = z_of_draws([world.draw(generator).text for _ in range(5000)], claimed)
    assert abs(z["right"]) < 4.5
    assert z["wrong"] > 10


def test_labels_are_drawn_as_often_as_claimed():
    """The best reader is right as often as it says, within 4.5 errors."""
    world = TopicsWorld(labels=True)
    generator = np.random.default_rng(2)
    hits = []
    for _ in range(300):
        example = world.draw(generator)
        posterior = world.label_posterior(example.text)
        best = max(posterior, key=posterior.get)
        hits.append((best == example.label) - posterior[best])
    assert abs(np.mean(hits)) < 4.5 * np.std(hits) / len(hits) ** 0.5


def test_options_and_texts_that_are_not_drawn():
    assert SMALL.log_prob("oven") == -math.inf
    assert TopicsWorld().draw(np.random.default_rng(0)).label is None
    for options, message in (
        ({"num_topics": 1}, "num_topics must be between 2 and 20, got 1"),
        ({"num_topics": 21}, "num_topics must be between 2 and 20, got 21"),
        ({"num_words": 0}, "num_words must be at least 1, got 0"),
    ):
        with pytest.raises(UserError, match=message):
            TopicsWorld(**options)
    with pytest.raises(UserError, match="never draws 'colourless'"):
        SMALL.topic_posterior("colourless")
