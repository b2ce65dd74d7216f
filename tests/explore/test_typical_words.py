# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np

from pyro_textvae.explore.typical_words import typical_words


def test_weights_by_hand():
    """Of 10 words in two clusters, 5 a cluster, "the" is in both and "cat" and "dog" in one."""
    sentences = [
        "the cat cat".split(),
        "the the".split(),
        "the dog".split(),
        "dog runs far".split(),
    ]
    clusters = np.array([0, 0, 1, 1])
    once = math.sqrt(1 / 5) * math.log(1 + 5 / 1)
    twice = math.sqrt(2 / 5) * math.log(1 + 5 / 2)
    the = math.sqrt(1 / 5) * math.log(1 + 5 / 4)
    assert once > twice > the
    assert typical_words(sentences, clusters) == [["cat", "the"], ["far", "runs", "dog", "the"]]


def test_a_word_of_every_cluster_says_less_than_a_rarer_one_of_this():
    """Frequent in its cluster, but as frequent in the others: the logarithm's work."""
    sentences = [["of"] * 6 + ["sea"] * 3, ["of"] * 6 + ["sky"] * 3, ["of"] * 6 + ["sun"] * 3]
    found = typical_words(sentences, np.arange(3), size=1)
    assert found == [["sea"], ["sky"], ["sun"]]


def test_the_rarity_of_a_word_counts_by_its_logarithm():
    """Four times as rare is not four times as typical, where the text is long."""
    sentences = [["a"] * 8 + ["b"] * 2, ["c"] * 2000]
    assert typical_words(sentences, np.array([0, 1])) == [["a", "b"], ["c"]]


def test_what_is_no_word_is_left_out():
    sentences = [["<unk>", ".", "--", "x2", "<eos>"], ["été", "水"]]
    assert typical_words(sentences, np.array([0, 1])) == [["x2"], ["été", "水"]]
    assert typical_words([["."], ["a"]], np.array([0, 1])) == [[], ["a"]]
