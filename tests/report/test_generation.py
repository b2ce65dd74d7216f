# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The text of runs: the section of the page, and the columns of a comparison."""

import dataclasses
import json

import pytest

from pyro_textvae.report.comparison_table import comparison_table
from pyro_textvae.report.generation_columns import generation_lines
from pyro_textvae.report.sections.generation import generation
from tests.report.test_comparison_table import OTHER, RESULT, RUN

DISTINCT = {
    "title": "samples",
    "label": "distinct-2",
    "value": 0.5,
    "interval": [0.45, 0.55],
    "num_sentences": 100,
    "material": "samples",
    "unit": "",
    "digits": 3,
    "better": "real",
    "real": 0.6,
    "note": "",
    "column": "distinct-2",
}
ENTROPY = DISTINCT | {
    "title": "language models",
    "label": "entropy",
    "value": 1234.5,
    "interval": None,
    "unit": "nats",
    "digits": 1,
    "better": "middle",
    "real": None,
    "note": "by hand",
    "column": "",
}
ASSESSMENT = {
    "numbers": {"distinct_2": DISTINCT, "entropy": ENTROPY},
    "materials": {"samples": {"num_sentences": 1000, "method": "ancestral", "tokenizer": "01ab"}},
    "examples": [{"sample": "a b", "copied": "a", "training_sentence": "a c"}],
    "remarks": ["beware"],
    "left_out": ["dialogue: no source"],
    "settings": {"size": 100, "language_model": None},
    "split": "test",
}


@pytest.fixture
def assessed(record, tmp_path):
    (tmp_path / "generation.json").write_text(json.dumps(ASSESSMENT))
    return dataclasses.replace(record(), path=tmp_path)


def test_section_shows_every_number_and_how_it_was_made(assessed):
    samples, models, copies, *notes = generation([assessed]).blocks[1:]
    assert samples.headings == ("samples", "value", "95 % interval", "real text", "better")
    assert samples.rows == (("distinct-2", "0.500", "[0.450, 0.550]", "0.600", "as real text"),)
    assert models.rows == (("entropy, nats", "1,234.5", "-", "-", "near 0.5"),)
    assert copies.rows == (("a b", "a", "a c"),)
    assert [note.text for note in notes] == [
        "samples: num sentences 1,000, method ancestral",
        "entropy: by hand",
        "beware",
        "dialogue: no source",
    ]


def test_section_says_how_to_assess_a_run(record, tmp_path):
    (note,) = generation([dataclasses.replace(record(), path=tmp_path)]).blocks
    assert (note.tone, note.command) == ("missing", f"pyro-textvae assess {tmp_path}")


def summary(name, value=0.5, **settings):
    number = DISTINCT | {"value": value}
    changed = ASSESSMENT["settings"] | settings
    return RUN | {
        "run": name,
        "generation": {"numbers": {"distinct_2": number}, "settings": changed, "split": "test"},
    }


def test_columns_are_those_of_the_assessed_runs():
    lines = generation_lines([summary("a"), summary("b", 0.25), RUN | {"run": "c"}])
    assert [line.split() for line in lines[2:5]] == [
        ["run", "distinct-2"],
        ["a", "0.500", "[0.450,", "0.550]"],
        ["b", "0.250", "[0.450,", "0.550]"],
    ]
    assert "a language model of its own" in lines[5]
    table = comparison_table(RESULT | {"runs": [summary("a"), OTHER]})
    assert "distinct-2" in table


def test_runs_that_were_not_assessed_are_shown_as_before():
    assert generation_lines([RUN, OTHER]) == []


def test_what_makes_columns_incomparable_is_said():
    judged = {"language_model": "runs/judge"}
    alike = generation_lines([summary("a", **judged), summary("b", **judged)])
    assert not [line for line in alike if "caution" in line]
    before = [summary(name, run=f"runs/{name}", **judged) for name in "ab"]
    assert not [line for line in generation_lines(before) if "caution" in line]
    other = generation_lines([summary("a", **judged), summary("b", size=50, **judged)])
    assert "caution: b was assessed with another size than a: assess them alike" in other[-1]
    doubtful = generation_lines([RUN | {"generation_doubt": "it is damaged: run this"}])
    assert doubtful[-1] == "  caution: runs/a: it is damaged: run this"
