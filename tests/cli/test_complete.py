# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Holes filled, and a prompt gone on from, on the command line."""

import io
import json
import re

import pytest

SMALL = ["--num-particles", "20", "--num-candidates", "50"]


def test_holes_are_filled(run, cli):
    status, out, err = cli("complete", run, "the ___ sat in the ___", "--size", "3", *SMALL)
    assert status == 0
    assert len(out.splitlines()) == 3
    assert all(re.fullmatch(r"the \S+ sat in the \S+", line) for line in out.splitlines())
    said = r"effective number of particles [\d.]+ of \d+; log p\(what is given\) -[\d.]+ nats\n"
    assert re.fullmatch(said, err)
    assert cli("complete", run, "the ___ sat in the ___", "--size", "3", *SMALL)[1] == out


def test_the_likeliest_and_their_probabilities(run, cli):
    arguments = ["complete", run, "the ___ sat", "--likeliest", "--size", "100", *SMALL]
    lines = cli(*arguments)[1].splitlines()
    shares = [float(line.split()[0]) for line in lines]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0, abs=0.01)
    records = [json.loads(line) for line in cli(*arguments, "--format", "jsonl")[1].splitlines()]
    assert records[0].keys() == {
        *("given", "text", "probability", "log_evidence", "effective_particles")
    }
    assert [round(record["probability"], 4) for record in records] == shares


def test_texts_from_a_file_and_from_standard_input(run, cli, tmp_path, monkeypatch):
    file = tmp_path / "texts.txt"
    file.write_text("the cat ...\n\n... the sun\n")
    arguments = ["complete", run, "--size", "2", *SMALL]
    out = cli(*arguments, "--text-file", file)[1]
    kinds = [line.split()[0] for line in out.splitlines()]
    assert kinds == ["given", "text", "text"] * 2
    monkeypatch.setattr("sys.stdin", io.StringIO(file.read_text()))
    assert cli(*arguments, "--text-file", "-")[1] == out


def test_a_prompt_of_a_language_model(language_model_run, cli):
    status, out, _ = cli("complete", language_model_run, "the cat", "--prompt", *SMALL)
    assert status == 0
    assert all(line.startswith("the cat") for line in out.splitlines())
    status, out, err = cli("complete", language_model_run, "the ___ sat in the sun")
    assert status == 0
    assert re.fullmatch(r"exact over the \d+ sentences that match\n", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["the cat sat"],
            "there is nothing to complete: write ___ .* or give the text as",
        ),
        ([], "complete needs a text with a hole: pyro-textvae complete RUN TEXT"),
        (["the cot ___"], "'cot' is not in the vocabulary: nearest is 'cat'; or write"),
        (["the cat sat in the sun the ___"], "at least 9 tokens, the model writes at most 7"),
        (["the cat sat in the sun the cat", "--prompt"], "at least 8 tokens, the model writes at"),
        (["the ___", "--text-file", "a.txt"], "the arguments and text_file both give a text"),
        (["--text-file", "empty.txt"], "empty.txt has no line with a text with a hole"),
        (["--text-file", "nowhere.txt"], "cannot read nowhere.txt: No such file"),
        (["the ___", "--source", "a"], "takes no source, so source would do nothing"),
        (["the ___", "--num-particles", "0"], "num_particles must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_completed_is_one_line(run, check_refused, tmp_path, arguments, message):
    (tmp_path / "empty.txt").write_text("\n \n")
    check_refused(message, "complete", run, *arguments)
