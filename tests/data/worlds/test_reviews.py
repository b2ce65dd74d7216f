# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of reviews against sums by hand over products and reviewers, and against draws."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from pyro_textvae.data.worlds import ReviewsWorld
from pyro_textvae.errors import UserError
from tests.data.worlds.draws import z_of_draws

SMALL = ReviewsWorld(most_reviews=2, num_aspects=2)
WORDS = {"bad": (0.5, 0), "awful": (0.35, 0), "fair": (0.15, 0.15), "good": (0, 0.5)}
WORDS["great"] = (0, 0.35)


def all_reviews():
    said = [[None, *WORDS]] * 2
    for room, food in product(*said):
        parts = [f"the {n} is {w}" for n, w in (("room", room), ("food", food)) if w]
        yield " and ".join(parts) or "we came and went", (room, food)


REVIEWS = dict(all_reviews())


def joint_by_hand(reviews):
    """p(reviews, quality of the aspects | R), with every reviewer summed over."""
    joint = {}
    for whole, room, food in product((0, 1), repeat=3):
        p = 0.5
        for quality in (room, food):
            p *= 0.85 if quality == whole else 0.15
        for review in reviews:
            of_review = 0.0
            for kind in (0, 1):
                part = 0.5
                for word, quality in zip(REVIEWS[review], (room, food), strict=True):
                    praised = ((0.05, 0.75), (0.25, 0.95))[kind][quality]
                    if word is None:
                        part *= 0.4
                    else:
                        part *= 0.6 * (praised * WORDS[word][1] + (1 - praised) * WORDS[word][0])
                of_review += part
            p *= of_review
        joint[room, food] = joint.get((room, food), 0) + p
    return joint


def test_groups_are_sums_over_products_and_reviewers():
    generator = np.random.default_rng(0)
    for _ in range(10):
        text = SMALL.draw(generator).text
        joint = joint_by_hand(text.split("\n"))
        total = sum(joint.values())
        assert SMALL.log_prob(text) == pytest.approx(math.log(total / 2), abs=1e-12)
        posterior = SMALL.quality_posterior(text)
        of_room = (joint[1, 0] + joint[1, 1]) / total
        of_food = (joint[0, 1] + joint[1, 1]) / total
        assert list(posterior.values()) == pytest.approx([of_room, of_food], abs=1e-12)
        said = {n: "good" if p > 0.5 else "bad" for n, p in posterior.items()}
        assert SMALL.summary(text) == f"the room is {said['room']} and the food is {said['food']}"


def test_groups_sum_to_one_and_are_drawn_as_often_as_claimed():
    """So is a wrong sampler found out: one whose reviewers are of different products."""
    texts = [*REVIEWS, *("\n".join(pair) for pair in product(REVIEWS, repeat=2))]
    claimed = {text: math.exp(SMALL.log_prob(text)) for text in texts}
    assert sum(claimed.values()) == pytest.approx(1, abs=1e-10)
    of_rooms = Counter()
    for text, p in claimed.items():
        of_rooms[rooms(text)] += p
    generator = np.random.default_rng(1)
    drawn = [SMALL.draw(generator).text.split("\n") for _ in range(2000)]
    others = [[*d[:1], *(o[:1] if d[1:] else [])] for d, o in zip(drawn, drawn[1:], strict=False)]
    z = [z_of_draws([rooms("\n".join(d)) for d in part], of_rooms) for part in (drawn, others)]
    assert abs(z[0]) < 4.5
    assert z[1] > 8


def rooms(text):
    """Of each review, the word for the room."""
    return tuple(REVIEWS[review][0] for review in text.split("\n"))


def test_reviews_alone_sum_to_one_and_tell_of_each_other():
    alone = sum(math.exp(SMALL.review_log_prob(review)) for review in REVIEWS)
    assert alone == pytest.approx(1, abs=1e-12)
    assert ReviewsWorld(most_reviews=1).information(20).value == pytest.approx(0, abs=1e-10)
    told = ReviewsWorld().information(200)
    assert told.value > 4.5 * told.standard_error


def test_what_is_never_drawn():
    for text in (
        "the room is good\n" * 2 + "the room is bad",
        "the food is good and the room is bad",
    ):
        assert SMALL.log_prob(text) == -math.inf
    with pytest.raises(UserError, match="never draws 'colourless'"):
        SMALL.quality_posterior("colourless")
    for options, message in (
        ({"most_reviews": 0}, "most_reviews must be at least 1, got 0"),
        ({"num_aspects": 6}, "num_aspects must be between 1 and 5, got 6"),
    ):
        with pytest.raises(UserError, match=message):
            ReviewsWorld(**options)
