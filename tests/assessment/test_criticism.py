# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Posterior predictive p-values."""

import pytest

from pyro_textvae.assessment.metrics import Criticism
from pyro_textvae.errors import UserError
from tests.assessment.texts import by_name, material, sentences


def run_of(text, replicates, statistics):
    run = material(
        replicated=sentences(*text), replicates=[sentences(*each) for each in replicates]
    )
    run.config.statistics = statistics
    return run


def test_p_value_is_the_share_of_sets_with_more():
    sets = [("a",), ("a b",), ("a b c",), ("a b c d",)]
    numbers = by_name(Criticism(), run_of(("a b c",), sets, ["length"]))
    # One of four is longer, and one as long, which counts half.
    assert numbers["p_value_length"].value == pytest.approx(1.5 / 4)
    assert "3 in the text, 2.5 in samples" in numbers["p_value_length"].note


def test_a_model_that_writes_less_of_it_has_a_p_value_of_zero():
    numbers = by_name(Criticism(), run_of(("a ?",), [("a .",)] * 50, ["questions", "length"]))
    number = numbers["p_value_questions"]
    assert number.value == 0.0
    assert number.interval == pytest.approx((0.0, 0.0714), abs=1e-3)
    assert numbers["p_value_length"].value == 0.5


def test_statistic_of_the_users_own(tmp_path):
    own = tmp_path / "mine.py"
    own.write_text(
        "def commas(sentences):\n    return sum(words.count(',') for words in sentences)\n"
        "def broken(sentences):\n    return 1 / 0\n"
        "def endless(sentences):\n    return float('inf')\n"
    )
    numbers = by_name(
        Criticism(), run_of(("a , b , c",), [("a , b",), (", , ,",)], [f"{own}:commas"])
    )
    assert numbers["p_value_commas"].value == 0.5
    with pytest.raises(UserError, match=r"mine.py:broken fails: .*division by zero"):
        Criticism().measure(run_of(("a",), [("a",)], [f"{own}:broken"]))
    with pytest.raises(UserError, match="must return a finite number, got inf"):
        Criticism().measure(run_of(("a",), [("a",)], [f"{own}:endless"]))
    with pytest.raises(UserError, match="defines no function 'other'"):
        Criticism().measure(run_of(("a",), [("a",)], [f"{own}:other"]))
