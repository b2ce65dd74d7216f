# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of conversations against brute force over topics and acts, and against draws."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from pyro_textvae.data.worlds import DialogueWorld
from pyro_textvae.data.worlds.dialogue import _FIRST, _NEXT
from pyro_textvae.errors import UserError

WORLD = DialogueWorld(most_turns=2, labels=True)


def split_turn(turn):
    return next(
        (form, word)
        for form in WORLD.forms.words
        for word in WORLD.topics.words
        if form.replace("X", word) == turn
    )


def joint_by_hand(turns):
    """p(turns, topic, acts) for every topic and path of acts."""
    joint = {}
    parts = [split_turn(turn) for turn in turns]
    for topic, *acts in product(range(8), *(range(6) for _ in turns)):
        p = 1 / 8
        for u, (form, word) in enumerate(parts):
            p *= _FIRST[acts[0]] if u == 0 else _NEXT[acts[u - 1], acts[u]]
            p *= WORLD.forms.emission[acts[u], WORLD.forms.words.index(form)]
            of_topic = WORLD.topics.emission[topic, WORLD.topics.words.index(word)]
            asked = u > 0 and 2 in WORLD.forms.value_of(parts[u - 1][0])
            if asked and acts[u] in (4, 5):
                of_topic = 0.9 * (word == parts[u - 1][1]) + 0.1 * of_topic
            p *= of_topic
        joint[topic, tuple(acts)] = p
    return joint


def test_forward_algorithm_is_the_sum_over_all_paths():
    generator = np.random.default_rng(0)
    for _ in range(15):
        example = WORLD.draw(generator)
        turns = [*example.source.split(" | "), example.text]
        joint = joint_by_hand(turns)
        both, before = sum(joint.values()), sum(joint_by_hand(turns[:-1]).values())
        log_prob = WORLD.log_prob(example.text, source=example.source)
        assert log_prob == pytest.approx(math.log(both / before), abs=1e-10)
        acts = WORLD.act_posterior(example.source, example.text)
        topics = WORLD.topic_posterior(example.source, example.text)
        for number, act in enumerate(WORLD.acts):
            of_act = sum(p for (_, path), p in joint.items() if path[-1] == number)
            assert acts[act] == pytest.approx(of_act / both, abs=1e-12)
        for topic in range(8):
            of_topic = sum(p for (t, _), p in joint.items() if t == topic)
            assert topics[topic] == pytest.approx(of_topic / both, abs=1e-12)
        prior = WORLD.act_posterior(example.source)[example.label]
        given = WORLD.log_prob(example.text, source=example.source, label=example.label)
        by_bayes = log_prob + math.log(acts[example.label] / prior)
        assert given == pytest.approx(by_bayes, abs=1e-10)


def all_turns():
    return [form.replace("X", word) for form in WORLD.forms.words for word in WORLD.topics.words]


def test_replies_to_a_source_sum_to_one():
    for source in ("do you know the opera", "the cake is bad | the dinner ?", None):
        total = sum(math.exp(WORLD.log_prob(turn, source=source)) for turn in all_turns())
        assert total == pytest.approx(1, abs=1e-10)


def test_replies_without_their_source_are_drawn_as_often_as_claimed():
    """Chi-square over all turns that are expected ten times or more, as a z-score."""
    generator, count = np.random.default_rng(1), 6000
    drawn = Counter(WORLD.draw(generator).text for _ in range(count))
    expected = {turn: count * math.exp(WORLD.log_prob(turn)) for turn in all_turns()}
    often = [turn for turn in expected if expected[turn] >= 10]
    square = sum((drawn[turn] - expected[turn]) ** 2 / expected[turn] for turn in often)
    assert len(often) > 100
    assert abs(square - len(often)) < 4.5 * (2 * len(often)) ** 0.5


def test_labels_are_drawn_as_often_as_claimed():
    generator = np.random.default_rng(2)
    examples = [WORLD.draw(generator) for _ in range(1000)]
    claimed = [WORLD.act_posterior(e.source) for e in examples]
    surprise = [-math.log(p[e.label]) for p, e in zip(claimed, examples, strict=True)]
    entropy = WORLD.act_entropy(1000, seed=3)
    error = math.hypot(np.std(surprise) / len(surprise) ** 0.5, entropy.standard_error)
    assert abs(np.mean(surprise) - entropy.value) < 4.5 * error


def test_what_is_never_drawn_is_refused():
    with pytest.raises(UserError, match="never draws the source"):
        WORLD.act_posterior("the soup ? | the soup ? | the soup ?")
    with pytest.raises(UserError, match="never draws 'colourless'"):
        WORLD.topic_posterior("the soup ?", "colourless")
    assert DialogueWorld().draw(np.random.default_rng(0)).label is None
