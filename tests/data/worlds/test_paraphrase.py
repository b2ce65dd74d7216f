# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of paraphrases against brute force over its frames, on a small instance."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from pyro_textvae.data.languages.slot import Slot
from pyro_textvae.data.world import mean_and_error
from pyro_textvae.data.worlds import ParaphraseWorld
from pyro_textvae.errors import UserError

SMALL = ParaphraseWorld(most_values=2, ambiguity=0.2)


def frames(world):
    names = list(world.slots)
    sizes = [range(len(slot)) for slot in world.slots.values()]
    return [dict(zip(names, values, strict=True)) for values in product(*sizes)]


def log_prob_given_frame(world, text, frame):
    """By hand: the structure's probability and that of each word under its value."""
    words = text.split()
    passive, place_first, time_first = "by" in words, words[0] == "in", "during" in words[:4]
    log_prob = math.log(0.35 if passive else 0.65)
    log_prob += math.log(0.30 if place_first else 0.70)
    log_prob += math.log(0.40 if time_first and words.index("during") in (0, 3) else 0.60)
    for name, slot in world.slots.items():
        (word,) = [word for word in words if word in slot.words]
        log_prob += math.log(max(slot.emission[frame[name], slot.words.index(word)], 1e-300))
    return log_prob


def test_probabilities_are_those_of_a_sum_over_all_frames():
    generator = np.random.default_rng(0)
    for _ in range(20):
        example = SMALL.draw(generator)
        joint = [
            (
                log_prob_given_frame(SMALL, example.text, frame),
                log_prob_given_frame(SMALL, example.source, frame),
            )
            for frame in frames(SMALL)
        ]
        text = np.exp([a for a, _ in joint]).mean()
        source = np.exp([b for _, b in joint]).mean()
        both = np.exp([a + b for a, b in joint]).mean()
        assert SMALL.log_prob(example.text) == pytest.approx(math.log(text), abs=1e-10)
        conditional = SMALL.log_prob(example.text, source=example.source)
        assert conditional == pytest.approx(math.log(both / source), abs=1e-10)
        factor = SMALL.log_bayes_factor(example.text, example.source)
        assert factor == pytest.approx(math.log(both / (text * source)), abs=1e-10)


def test_all_texts_of_a_source_sum_to_one():
    source = SMALL.draw(np.random.default_rng(3)).source
    texts = dict(SMALL.equivalents(source))
    assert len(texts) > 1000
    assert sum(map(math.exp, texts.values())) == pytest.approx(1, abs=1e-10)
    assert all(SMALL.is_paraphrase(text, source) for text in list(texts)[:50])


def test_draws_given_a_source_are_as_often_each_of_its_texts_as_claimed():
    """The likeliest 40 of 4,000 draws: |z| < 4.5."""
    world = ParaphraseWorld(most_values=2)
    generator = np.random.default_rng(0)
    source = world.draw(generator).source
    drawn = Counter(world.draw_paraphrase(source, generator) for _ in range(4000))
    texts = sorted(world.equivalents(source), key=lambda pair: -pair[1])[:40]
    for text, log_p in texts:
        share = math.exp(log_p)
        error = (share * (1 - share) / 4000) ** 0.5
        assert abs(drawn[text] / 4000 - share) < 4.5 * error


def test_posterior_of_the_frame_is_that_of_the_sum():
    source = SMALL.draw(np.random.default_rng(1)).source
    weights = np.exp([log_prob_given_frame(SMALL, source, frame) for frame in frames(SMALL)])
    for name, posterior in SMALL.frame_posterior(source).items():
        for value, probability in enumerate(posterior):
            of_value = [frame[name] == value for frame in frames(SMALL)]
            assert probability == pytest.approx(weights[of_value].sum() / weights.sum(), abs=1e-12)


def test_numbers_of_the_whole_world():
    world = ParaphraseWorld()
    assert world.conditional_entropy().value == pytest.approx(6.733, abs=5e-4)
    assert world.entropy().value == pytest.approx(17.218, abs=5e-4)
    assert [len(slot) for slot in world.slots.values()] == [12, 10, 12, 8, 6]


def test_world_with_other_weights_is_found_out(monkeypatch):
    """A sampler that draws words by their squared weights is another language."""

    def squared(slot, value, generator):
        weights = slot.emission[value] ** 2
        return slot.words[int(generator.choice(len(slot.words), p=weights / weights.sum()))]

    world = ParaphraseWorld()
    monkeypatch.setattr(Slot, "draw_word", squared)
    generator = np.random.default_rng(0)
    drawn = [world.draw(generator) for _ in range(1000)]
    mean, error = mean_and_error([-world.log_prob(e.text, source=e.source) for e in drawn])
    assert abs(mean - world.conditional_entropy().value) > 4.5 * error


def test_sentences_of_other_frames_are_no_paraphrases():
    world = ParaphraseWorld()
    source = "the doctor repaired the car in the garden during the war"
    other = "during the conflict the car was fixed by the medic in the yard"
    assert world.is_paraphrase(other, source)
    assert not world.is_paraphrase("the king repaired the car in the garden during the war", source)
    assert world.log_bayes_factor(source, source) > 0
    with pytest.raises(UserError, match="no sentence of world:paraphrase"):
        world.frame_posterior("the doctor repaired")
