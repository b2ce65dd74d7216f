# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What holds of every world: its sampler and its probabilities are one language."""

import math

import numpy as np
import pytest

from pyro_textvae import zoo
from pyro_textvae.data import load_corpus
from pyro_textvae.data.world import World, mean_and_error, open_world
from pyro_textvae.errors import UserError

WORLDS = {name: open_world(name, {}) for name in zoo.names("worlds")}
NUM_EXAMPLES = 200


@pytest.fixture(params=WORLDS)
def world(request):
    return WORLDS[request.param]


def test_entropies_are_the_mean_of_what_is_drawn(world):
    """Formula and draws agree within 4.5 errors: the mean of 200 is normal."""
    generator = np.random.default_rng(1)
    drawn = [world.draw(generator) for _ in range(NUM_EXAMPLES)]
    given = mean_and_error([-world.log_prob(e.text, source=e.source, label=e.label) for e in drawn])
    claimed = world.conditional_entropy(NUM_EXAMPLES, seed=2)
    error = math.hypot(given.standard_error, claimed.standard_error)
    assert abs(given.value - claimed.value) < 4.5 * error
    if not world.knows_texts_alone:
        return
    alone = mean_and_error([-world.log_prob(e.text) for e in drawn])
    claimed = world.entropy(NUM_EXAMPLES, seed=2)
    error = math.hypot(alone.standard_error, claimed.standard_error)
    assert abs(alone.value - claimed.value) < 4.5 * error


def test_what_is_given_never_makes_a_text_harder_to_tell_on_average(world):
    if world.knows_texts_alone:
        given = world.conditional_entropy(NUM_EXAMPLES).value
        assert given <= world.entropy(NUM_EXAMPLES).value + 1e-9


def test_all_that_is_drawn_is_in_the_lexicon_and_possible(world):
    generator = np.random.default_rng(0)
    lexicon = set(world.lexicon)
    assert world.lexicon == sorted(lexicon)
    for split in ("train", "valid", "test"):
        for _ in range(50):
            example = world.draw(generator, split)
            assert set(example.text.split()) <= lexicon
            assert set((example.source or "").split()) <= lexicon
            log_prob = world.log_prob(example.text, source=example.source, label=example.label)
            assert -1000 < log_prob < 0


def test_text_of_another_language_has_no_probability(world):
    example = world.draw(np.random.default_rng(0))
    for text in ("", "colourless green ideas", example.text + " " + example.text):
        assert world.log_prob(text, source=example.source, label=example.label) == -math.inf


def test_source_that_is_never_drawn_is_refused(world):
    example = world.draw(np.random.default_rng(0))
    with pytest.raises(UserError):
        world.log_prob(example.text, source="colourless green ideas")


def test_label_that_is_never_drawn_is_refused(world):
    example = world.draw(np.random.default_rng(0))
    with pytest.raises(UserError):
        world.log_prob(example.text, source=example.source, label="colourless")


@pytest.mark.parametrize("name", WORLDS)
def test_corpus_is_drawn_from_its_world(name):
    corpus = load_corpus(f"world:{name}", num_sentences=60, seed=3)
    assert isinstance(corpus.world, World)
    generator = np.random.default_rng(3)
    drawn = [corpus.world.draw(generator).text for _ in range(3)]
    assert [corpus.tokenizer.decode_lines(corpus.train[i].tolist()) for i in range(3)] == drawn
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [48, 6, 6]
    assert load_corpus(f"world:{name}", num_sentences=60, seed=4).fingerprint != corpus.fingerprint


def test_grammar_is_the_world_of_the_grammar():
    one, other = (load_corpus(name, num_sentences=50) for name in ("grammar", "world:grammar"))
    assert one.fingerprint == other.fingerprint
    assert one.grammar.entropy == other.grammar.entropy
    assert load_corpus("world:dialogue", num_sentences=50).grammar is None


@pytest.mark.parametrize(
    ("source", "options", "match"),
    [
        (
            "world:paraphrse",
            {},
            r"no world 'paraphrse'; did you mean 'paraphrase'\? Known: conversations, di",
        ),
        ("world:mine.py:World", {}, "one of your own is a source with the attribute world"),
        ("world:", {}, "does not say what to read; give world:NAME"),
        ("world:typos", {"rte": 0.1}, "no option 'rte'; it takes: rate, num_confusions"),
        ("world:typos", {"rate": 1.5}, "rate must be between 0 and 1, got 1.5"),
        ("world:typos", {"num_confusions": 3}, "an even number of at least 2, got 3"),
        ("world:paraphrase", {"most_values": 3}, "an even number of at least 2, got 3"),
        ("world:paraphrase", {"ambiguity": 0}, "ambiguity must be between 0 and 1, got 0"),
        ("world:sentiment", {"delta": -1}, "delta must be a number of at least 0, got -1"),
        ("world:sentiment", {"noise": 0.5}, "noise must be at least 0 and below 0.5, got 0.5"),
        ("world:dialogue", {"most_turns": 0}, "most_turns must be at least 1, got 0"),
        ("world:headlines", {"mention": 2}, "mention must be between 0 and 1, got 2"),
        ("world:headlines", {"mention": "often"}, "cannot build HeadlinesWorld"),
        ("stdlib", {"rate": 0.1}, "applies to world:NAME, not to 'stdlib'; leave it out"),
    ],
)
def test_bad_options_are_refused_in_one_line(source, options, match):
    with pytest.raises(UserError, match=match):
        load_corpus(source, num_sentences=50, data_options=options)


def test_options_are_part_of_the_corpus():
    few, all_ = (
        load_corpus("world:paraphrase", num_sentences=50, data_options=options)
        for options in ({"most_values": 2}, {})
    )
    assert len(few.tokenizer) < len(all_.tokenizer)
    assert few.settings["data_options"] == {"most_values": 2}
