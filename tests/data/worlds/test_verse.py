# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The world of verse against all lines of a few signs, and against draws."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from pyro_textvae.data.languages.verse_form import Form
from pyro_textvae.data.worlds import VerseWorld
from pyro_textvae.errors import UserError
from tests.data.worlds.draws import z_of_draws

SMALL = VerseWorld(most_signs=1)
FORM = Form("ang", ("仄仄仄平平", "平平仄仄平", "平平平仄仄", "仄仄仄平平"))


def lines_by_hand(world, form, theme):
    """p(line | theme, form) of each line that keeps to it, by listing all lines of five signs."""
    count = len(world.signs)
    for tones, rhymed in zip(form.tones, form.rhymed, strict=True):
        kept = {}
        for line in product(range(count), repeat=5):
            fits = all(
                (tone == "平") == world.is_level[s] for tone, s in zip(tones, line, strict=True)
            )
            if fits and (not rhymed or world.rhyme_of.get(world.signs[line[-1]]) == form.rhyme):
                p = world.first[theme, line[0]]
                for before, after in zip(line, line[1:], strict=False):
                    p *= world.following[theme, before, after]
                kept[" ".join(world.signs[s] for s in line)] = p
        total = sum(kept.values())
        yield {line: p / total for line, p in kept.items()}


BY_HAND = [list(lines_by_hand(SMALL, FORM, theme)) for theme in range(4)]


def test_transfer_matrices_are_the_sum_over_all_lines():
    generator = np.random.default_rng(0)
    poems = 0
    while poems < 8:
        example = SMALL.draw(generator)
        if example.source != FORM.source:
            continue
        poems += 1
        joint = [
            math.prod(
                of_line[x] for of_line, x in zip(of_theme, example.text.split("\n"), strict=True)
            )
            for of_theme in BY_HAND
        ]
        claimed = SMALL.log_prob(example.text, source=FORM.source)
        assert claimed == pytest.approx(math.log(sum(joint) / 4), abs=1e-10)
        posterior = SMALL.theme_posterior(example.text, FORM.source)
        assert posterior == pytest.approx(np.array(joint) / sum(joint), abs=1e-12)
        # Of the forms of five signs that have this rhyme, one has these tones.
        alone = claimed - math.log(len(SMALL.forms))
        assert SMALL.log_prob(example.text) == pytest.approx(alone, abs=1e-10)


def test_first_lines_are_drawn_as_often_as_claimed_and_a_wrong_sampler_is_found_out():
    """One that takes each sign among those allowed, without a look at those that follow."""
    claimed = Counter()
    for of_theme in BY_HAND:
        for line, p in of_theme[1].items():
            claimed[line[0]] += p / 4
    wrong = VerseWorld(most_signs=1)
    wrong._pass_messages = lambda allowed: (np.ones((len(allowed), 4, 6)), np.zeros(4))
    z = {}
    for name, world in (("right", SMALL), ("wrong", wrong)):
        generator = np.random.default_rng(1)
        allowed = world._allowed(FORM)[1]
        drawn = [world._draw_line(k % 4, allowed, generator)[0] for k in range(2000)]
        z[name] = z_of_draws(drawn, claimed)
    assert abs(z["right"]) < 4.5
    assert z["wrong"] > 8


def test_poems_keep_to_their_form_and_faults_are_named():
    world, generator = VerseWorld(), np.random.default_rng(2)
    for _ in range(20):
        example = world.draw(generator)
        assert world.faults(example.text, example.source) == []
        assert world.log_legal(example.source) < -10
    lines = example.text.split("\n")
    lines[0] = lines[0][:-1] + "月"
    (fault,) = world.faults("\n".join(lines), example.source)
    assert "line 1: '月' is not allowed at place" in fault
    assert world.faults("\n".join(lines[:3]), example.source) == ["3 lines, not 4"]
    lines[0] = "月 月"
    assert "line 1 has 2 signs, not" in world.faults("\n".join(lines), example.source)[0]
    assert world.log_prob("\n".join(lines), source=example.source) == -math.inf


def test_unknown_rhymes_and_forms_are_refused():
    poem = VerseWorld().draw(np.random.default_rng(0)).text
    for source, message in (
        (FORM._replace(rhyme="ong").source, "has the rhymes ang, an, eng, ou, not 'ong'"),
        ("ang 仄仄", "has no form 'ang 仄仄'"),
    ):
        with pytest.raises(UserError, match=message):
            VerseWorld().log_prob(poem, source=source)
    with pytest.raises(UserError, match="most_signs must be at least 1, got 0"):
        VerseWorld(most_signs=0)
    with pytest.raises(UserError, match="never draws '月' in this form"):
        VerseWorld().theme_posterior("月", FORM.source)
