# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of whole conversations against sums by hand, all conversations of two, and draws."""

import math
from collections import Counter

import numpy as np
import pytest

from pyro_textvae.data.worlds import ConversationsWorld
from pyro_textvae.errors import UserError
from tests.data.worlds.draws import z_of_draws
from tests.data.worlds.test_dialogue import joint_by_hand

WORLD = ConversationsWorld(most_turns=2)


def all_turns(world):
    slots = (world.dialogue.forms.words, world.dialogue.topics.words)
    return [form.replace("X", word) for form in slots[0] for word in slots[1]]


def test_forward_algorithm_is_the_sum_over_topics_and_acts():
    world, generator = ConversationsWorld(most_turns=3), np.random.default_rng(0)
    for _ in range(12):
        text = world.draw(generator).text
        turns = text.split("\n")
        joint = joint_by_hand(turns)
        total = sum(joint.values())
        assert world.log_prob(text) == pytest.approx(math.log(total / 3), abs=1e-10)
        topics = [sum(p for (t, _), p in joint.items() if t == topic) for topic in range(8)]
        posterior = np.array(topics) / total
        assert world.topic_posterior(text) == pytest.approx(posterior, abs=1e-12)


def test_conversations_sum_to_one():
    turns = all_turns(WORLD)
    of_one = sum(math.exp(WORLD.log_prob(turn)) for turn in turns)
    assert of_one == pytest.approx(0.5, abs=1e-12)
    for first in ("do you know the opera", "the soup is bad"):
        of_two = sum(math.exp(WORLD.log_prob(f"{first}\n{turn}")) for turn in turns)
        assert of_two == pytest.approx(math.exp(WORLD.log_prob(first)), abs=1e-12)


def test_turns_alone_are_drawn_as_often_as_claimed_and_a_wrong_sampler_is_found_out():
    """Forms of turns at all places: within 4.5 errors, and far outside with another length."""
    alone = {turn: math.exp(WORLD.turn_log_prob(turn)) for turn in all_turns(WORLD)}
    assert sum(alone.values()) == pytest.approx(1, abs=1e-12)
    forms = {turn: turn for turn in alone}
    for form in WORLD.dialogue.forms.words:
        for word in WORLD.dialogue.topics.words:
            forms[form.replace("X", word)] = form
    claimed = Counter()
    for turn, p in alone.items():
        claimed[forms[turn]] += p
    z = {}
    for name, world in (("right", WORLD), ("wrong", ConversationsWorld(most_turns=6))):
        generator = np.random.default_rng(1)
        drawn = [world.draw(generator).text.split("\n") for _ in range(1500)]
        # One turn of a conversation, as turns of one are not independent; more often of a long one.
        kept = [d for d in drawn if generator.random() < len(d) / world.most_turns]
        z[name] = z_of_draws([forms[d[int(generator.integers(len(d)))]] for d in kept], claimed)
    assert abs(z["right"]) < 4.5
    assert z["wrong"] > 8


def test_information_is_what_a_model_of_turns_lacks():
    world = ConversationsWorld()
    assert ConversationsWorld(most_turns=1).information(20).value == pytest.approx(0, abs=1e-10)
    told = world.information(300)
    assert told.value > 1 + 4.5 * told.standard_error
    topics = world.topic_information(200)
    assert 0 < topics.value < math.log(8)


def test_what_is_never_drawn():
    assert WORLD.log_prob("the soup is bad\n" * 2 + "the soup is bad") == -math.inf
    with pytest.raises(UserError, match="never draws 'colourless'"):
        WORLD.topic_posterior("colourless")
    with pytest.raises(UserError, match="most_turns must be at least 1, got 0"):
        ConversationsWorld(most_turns=0)
