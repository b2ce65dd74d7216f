# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of headlines: a finite sum over the events of an article."""

import math
from itertools import product

import numpy as np
import pytest

from pyro_textvae.data.worlds import HeadlinesWorld

WORLD = HeadlinesWorld(mention=0.7)
ARTICLE = (
    "bako buys the bank . riten opens the school . muri builds the road . everyone talks of riten ."
)


def test_headlines_of_an_article_sum_to_one():
    total = 0.0
    names = ("bako", "riten", "muri")
    for name, act, thing in product(names, WORLD.acts.words, WORLD.things.words):
        for text in (f"{name} {act} {thing}", f"{thing} : {name} {act} it"):
            total += math.exp(WORLD.log_prob(text, source=ARTICLE))
    assert total == pytest.approx(1, abs=1e-10)
    assert WORLD.log_prob("dorvi buys bank", source=ARTICLE) == -math.inf


def test_event_is_that_of_bayes_by_hand():
    prior = np.array([1, 1 / 2, 1 / 3]) / (1 + 1 / 2 + 1 / 3)
    of_mention = np.array([0.1, 0.8, 0.1])
    by_hand = prior * of_mention / (prior * of_mention).sum()
    assert WORLD.event_posterior(ARTICLE) == pytest.approx(by_hand, abs=1e-12)


def test_event_is_drawn_as_often_as_claimed():
    generator, count = np.random.default_rng(0), 1500
    examples = [WORLD.draw(generator) for _ in range(count)]
    right, claimed = [], []
    for example in examples:
        posterior = WORLD.event_posterior(example.source)
        names = [part.split()[0] for part in example.source.split(" . ")][: len(posterior)]
        right.append(names[int(posterior.argmax())] == WORLD.name_of(example.text))
        claimed.append(posterior.max())
    error = (np.mean(np.multiply(claimed, np.subtract(1, claimed))) / count) ** 0.5
    assert abs(np.mean(right) - np.mean(claimed)) < 4.5 * error


def test_half_of_the_names_of_test_are_of_those_that_training_never_has():
    generator = np.random.default_rng(1)
    names = {}
    for split in ("train", "test"):
        headlines = [WORLD.draw(generator, split).text for _ in range(400)]
        names[split] = [WORLD.name_of(text) for text in headlines]
    unseen = set(WORLD.unseen_names)
    assert not unseen & set(names["train"])
    share = np.mean([name in unseen for name in names["test"]])
    assert abs(share - 0.5) < 4.5 * 0.5 / 400**0.5
    assert not unseen & set(WORLD.seen_names)
    assert {n for n in WORLD.lexicon if n in unseen} == unseen


def test_names_told_are_those_whose_words_a_headline_has():
    article = "bako buys the bank . riten opens the school . mudor closes the bank ."
    source = f"{article} everyone talks of riten ."
    told = HeadlinesWorld().names_told
    # Neither verb of a pair is the other's, but the last is of both; so is the last thing.
    assert told("mudor purchases lender", source) == ["bako"]
    assert told("bako changes academy", source) == ["riten"]
    assert told("lender : bako closes it", source) == ["mudor"]
    assert told("bako purchases road", source) == []
    assert told("bako purchases", source) == []


def test_lead_is_the_first_event():
    assert WORLD.lead(ARTICLE) == "bako buys bank"
    assert WORLD.name_of("no headline") is None
