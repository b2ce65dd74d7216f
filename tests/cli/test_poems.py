# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Poems on the command line: written, kept to their form, and forms that there are not."""

import json

import pytest

from pyro_textvae.data.worlds import VerseWorld
from tests.cli.conftest import TINY, _train

FORM = "ang 仄仄仄平平 平平仄仄平 平平平仄仄 仄仄仄平平"
KEPT = ["--keep-form", "true"]


@pytest.fixture(scope="module")
def poem_run(tmp_path_factory):
    of_poems = ["--model", "poem_vae", "--guide", "document", "--encoder", "bag_of_words"]
    data = ["--data", "world:verse", "--num-sentences", "40", "--decoder", "gru"]
    return _train(tmp_path_factory, *data, *of_poems, *TINY)


def test_poems_are_printed_as_poems_below_their_form_and_masks_keep_it(poem_run, cli):
    status, out, _ = cli("sample", poem_run, "--source", FORM, "--size", "3", *KEPT)
    head, *poems = out.strip().split("\n\n")
    assert (status, head) == (0, f"form  {FORM}")
    assert len(poems) == 3
    world = VerseWorld()
    for poem in poems:
        spaced = "\n".join(" ".join(line) for line in poem.split("\n"))
        assert world.faults(spaced, FORM) == []
    assert cli("sample", poem_run, "--source", FORM, "--size", "3")[1] != out


def test_lines_of_json_have_the_models_own_log_probability(poem_run, cli):
    out = cli("sample", poem_run, "--size", "2", "--format", "jsonl", *KEPT)[1]
    for record in map(json.loads, out.splitlines()):
        assert sum(record["log_prob"]) < sum(record["score"]) - 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--source", f"{FORM} 仄仄仄平平"],
            "the form has 5 lines, and the model's poems",
        ),
        (
            ["--source", "iang 平平仄仄平"],
            "there is no rhyme 'iang': a form begins with one of a, o,",
        ),
        (
            ["--source", "ong 平平仄仄平"],
            "the form 'ong 平平仄仄平' has 'ong', which no form of the training text has",
        ),
        (["--source", "ang 平平仄x平"], "line 1 of the form is '平平仄x平': write 平 or 仄"),
        (["--source", FORM, *KEPT, "--max-length", "3"], "so max_length could only break the form"),
        (["--source", FORM, *KEPT, "--prefix", "月"], "so prefix could only break the form"),
    ],
)
def test_bad_forms_are_told_in_one_line(poem_run, cli, arguments, message):
    status, out, err = cli("sample", poem_run, *arguments)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert message in line


def test_row_of_a_file_of_forms_is_named(poem_run, cli, tmp_path):
    forms = tmp_path / "forms.txt"
    forms.write_text(f"{FORM}\nai {FORM[4:]}\n")
    status, _, err = cli("sample", poem_run, "--source-file", str(forms))
    assert status == 2
    assert err.startswith("pyro-textvae: error: source 2: ")
    assert err.count("\n") == 1


def test_masks_are_refused_where_there_is_no_form(run, cli):
    status, _, err = cli("sample", run, *KEPT)
    assert status == 2
    assert "keep_form needs a model that writes to a form, such as poem_vae" in err


def test_a_poem_goes_on_after_its_first_lines(poem_run, cli):
    flags = ["--prompt", "--source", FORM, *KEPT, "--num-particles", "20"]
    status, out, err = cli("complete", poem_run, "月落影忙光/春花梦雨床", *flags, "--size", "2")
    assert status == 0, err
    poems = out.strip().split("\n\n")
    assert len(poems) == 2
    for poem in poems:
        assert poem.startswith("月落影忙光\n春花梦雨床\n")
        spaced = "\n".join(" ".join(line) for line in poem.split("\n"))
        assert VerseWorld().faults(spaced, FORM) == []
    record = json.loads(
        cli("complete", poem_run, "月落影忙光", *flags, "--size", "1", "--format", "jsonl")[1]
    )
    assert record["given"] == ["月落影忙光"] == record["text"][:1]
    assert len(record["text"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["月", "--prompt"], "give --prompt, the first lines with / between them, and their form"),
        (["月", "--source", FORM], "give --prompt, the first lines with / between them, and their"),
        (["月/月/月/月", "--prompt", "--source", FORM], "has 4 lines and its form 4: leave one"),
        (["月", "--prompt", "--source", FORM, "--label", "x"], "label is not for poems"),
        (["月", "--prompt", "--source", "iang 平 平"], "there is no rhyme 'iang': a form begins"),
        (
            ["月落影忙光/春花梦", "--prompt", "--source", FORM, *KEPT],
            "'月落影忙光/春花梦' does not keep to its form: line 2 has 3 signs, not 5; correct it",
        ),
        (
            ["月月影忙月", "--prompt", "--source", FORM, *KEPT],
            "does not keep to its form: line 1: '月' at place 5 is 仄, not 平; correct it",
        ),
    ],
)
def test_beginnings_that_cannot_be_gone_on_with(poem_run, cli, arguments, message):
    status, _, err = cli("complete", poem_run, *arguments)
    assert status == 2
    assert message in err
