# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of documents against sums by hand over plans, all documents, and draws."""

import math
from itertools import product

import numpy as np
import pytest

from pyro_textvae.data.worlds import DocumentsWorld
from pyro_textvae.errors import UserError
from tests.data.worlds.draws import z_of_draws

SMALL = DocumentsWorld(stay=0.8, stop=0.4, most_sentences=2, most_values=2)


def joint_by_hand(world, sentences):
    """p(sentences, events, persons | S) for every plan."""
    num_events, num_persons = len(world.acts), len(world.names)
    joint = {}
    states = product(range(num_events), range(num_persons))
    for plan in product(list(states), repeat=len(sentences)):
        p = 1 / (num_events * num_persons)
        for s, (sentence, (event, person)) in enumerate(zip(sentences, plan, strict=True)):
            if s:
                p *= world.next_event[plan[s - 1][0], event]
                p *= world.next_person[plan[s - 1][1], person]
            name, act, _, _, *time = sentence.split()
            p *= world.names.emission[person, world.names.words.index(name)]
            p *= world.acts.emission[event, world.acts.words.index(act)]
            p *= (0.4 / len(world.times) if time else 0.6) / len(world.things)
        joint[plan] = p
    return joint


def all_sentences(world):
    ends = ["", *(f" {time}" for time in world.times)]
    words = (world.names.words, world.acts.words, world.things, ends)
    return [f"{name} {act} the {thing}{end}" for name, act, thing, end in product(*words)]


def test_documents_sum_to_one_and_each_is_drawn_as_often_as_claimed():
    """So are wrong samplers found out: of lengths, of a plan that forgets its person."""
    sentences = all_sentences(SMALL)
    claimed = {x: math.exp(SMALL.log_prob(x)) for x in sentences}
    first, second = sentences[7], {}
    for x in sentences:
        second[x] = math.exp(SMALL.log_prob(f"{first}\n{x}"))
    # After a first sentence the second ones have all that is left of its probability.
    alone = math.exp(SMALL.sentence_log_prob(first))
    assert sum(claimed.values()) == pytest.approx(0.4, abs=1e-12)
    assert sum(second.values()) == pytest.approx(0.6 * alone, abs=1e-12)
    z = {}
    worlds = {
        "right": SMALL,
        "stop": DocumentsWorld(stay=0.8, stop=0.5, most_sentences=2, most_values=2),
        "stay": DocumentsWorld(stay=0.5, stop=0.4, most_sentences=2, most_values=2),
    }
    pairs = {}
    for one, other in product(SMALL.names.words, repeat=2):
        joint = joint_by_hand(SMALL, [f"{one} had the boat", f"{other} had the boat"])
        of_rest = joint_by_hand(SMALL, ["bob had the boat"] * 2)
        pairs[one, other] = 0.6 * sum(joint.values()) / sum(of_rest.values())
    norm = sum(pairs.values()) / 0.6
    claimed_names = {pair: p / norm for pair, p in pairs.items()} | {None: 0.4}
    for name, world in worlds.items():
        generator = np.random.default_rng(1)
        drawn = [world.draw(generator).text.split("\n") for _ in range(3000)]
        names = [tuple(x.split()[0] for x in d) if len(d) == 2 else None for d in drawn]
        z[name] = z_of_draws(names, claimed_names)
    assert abs(z["right"]) < 4.5
    assert min(z["stop"], z["stay"]) > 8


def test_forward_algorithm_and_posteriors_are_sums_over_all_plans():
    world = DocumentsWorld(most_sentences=4, most_values=2)
    generator = np.random.default_rng(0)
    for _ in range(8):
        text = world.draw(generator).text
        sentences = text.split("\n")
        joint = joint_by_hand(world, sentences)
        total = sum(joint.values())
        of_length = 0.15 * 0.85 ** (len(sentences) - 1) if len(sentences) < 4 else 0.85**3
        assert world.log_prob(text) == pytest.approx(math.log(of_length * total), abs=1e-10)
        alone = sum(math.log(sum(joint_by_hand(world, [x]).values())) for x in sentences)
        information = world.pointwise_information(text)
        assert information == pytest.approx(math.log(total) - alone, abs=1e-10)
        events, persons = world.plan_posterior(text)
        for s in range(len(sentences)):
            for value in range(2):
                of_event = sum(p for plan, p in joint.items() if plan[s][0] == value) / total
                of_person = sum(p for plan, p in joint.items() if plan[s][1] == value) / total
                assert events[s, value] == pytest.approx(of_event, abs=1e-12)
                assert persons[s, value] == pytest.approx(of_person, abs=1e-12)


def test_closed_forms_of_a_sentence_alone():
    sentences = all_sentences(SMALL)
    log_p = np.array([SMALL.sentence_log_prob(x) for x in sentences])
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    assert SMALL.sentence_entropy == pytest.approx(-(np.exp(log_p) * log_p).sum(), abs=1e-10)
    assert SMALL.mean_length == pytest.approx(1.6)
    assert SMALL.length_entropy == pytest.approx(-0.4 * math.log(0.4) - 0.6 * math.log(0.6))


def test_sentences_tell_nothing_of_each_other_without_a_plan():
    world = DocumentsWorld(stay=0.5, most_sentences=3, most_values=2)
    world.plan.following[:] = 1 / 4
    assert world.information(50).value == pytest.approx(0, abs=1e-10)
    assert DocumentsWorld().information(200).value > 1


def test_what_is_never_drawn():
    for text in ("bob had the boat\n", "bob had the boat\n" * 2 + "bob had the boat"):
        assert SMALL.log_prob(text) == -math.inf
    with pytest.raises(UserError, match="never draws 'colourless'"):
        SMALL.plan_posterior("colourless")
    for options, message in (
        ({"stay": 2}, "stay must be between 0 and 1, got 2"),
        ({"most_sentences": 0}, "most_sentences must be at least 1, got 0"),
        ({"most_values": 3}, "most_values must be an even number of at least 2, got 3"),
    ):
        with pytest.raises(UserError, match=message):
            DocumentsWorld(**options)
