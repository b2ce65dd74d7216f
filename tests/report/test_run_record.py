# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is read of a run's folder, and what is said of files that are missing or damaged."""

import json

import pytest
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.report.run_record import read_runs
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.sentence_table import write_sentence_table


@pytest.fixture
def run(tmp_path):
    """A folder with everything that a report reads, but for the model."""
    folder = RunFolder(tmp_path / "runs" / "a b")
    folder.path.mkdir(parents=True)
    built = {"specs": {}, "sizes": {}, "tokenizer_fingerprint": "t", "corpus_fingerprint": "c"}
    folder.write_config(TrainConfig().to_dict(), built)
    rows = [{"kind": "step", "step": 5}, {"kind": "epoch", "epoch": 1, "valid_elbo": 60.5}]
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = {"nll": 56.25, "split": "valid", "num_samples": 5000, "evaluation_id": "e1"}
    folder.evaluation.write_text(json.dumps(result))
    columns = {"log_px": torch.tensor([-1.5, -2.5], dtype=torch.float64)}
    write_sentence_table(folder.path / "evaluation.sentences.jsonl", "e1", columns)
    return folder


def test_everything_is_read(run):
    (record,) = read_runs([run.path])
    assert (record.name, record.number) == ("a b", 1)
    assert record.evaluation["nll"] == 56.25
    assert [row["epoch"] for row in record.epochs] == [1]
    assert record.sentences["log_px"].tolist() == [-1.5, -2.5]
    assert record.evaluation_note is record.sentences_note is None


def test_run_without_evaluation_says_how_to_get_one(run):
    run.evaluation.unlink()
    (record,) = read_runs([run.path])
    assert record.evaluation is record.sentences is None
    for note in (record.evaluation_note, record.sentences_note, record.lacks("curve")):
        assert note.text == f"{run.path} has not been evaluated."
        assert note.command == f"pyro-textvae evaluate '{run.path}'"


@pytest.mark.parametrize(
    ("content", "reason"), [('{"nll": 5', "JSON"), ("[1]", "a JSON object"), ("", "JSON")]
)
def test_damaged_evaluation_is_said_to_be_damaged(run, content, reason):
    run.evaluation.write_text(content)
    (record,) = read_runs([run.path])
    assert record.evaluation is None
    assert record.evaluation_note.text == f"{run.evaluation} is damaged (not {reason})."
    assert record.evaluation_note.command == f"pyro-textvae evaluate '{run.path}'"


@pytest.mark.parametrize("content", ["{}", '{"nll": null}'])
def test_evaluation_without_an_nll_says_so(run, content):
    run.evaluation.write_text(content)
    (record,) = read_runs([run.path])
    assert record.evaluation is record.sentences is None
    assert record.evaluation_note.text == "The evaluation of a b has no finite nll."


def test_evaluation_of_an_earlier_version_has_the_names_of_today(run):
    result = json.loads(run.evaluation.read_text())
    rows = [{"proposal": "guide", "khat_above_0_7": 0.5}]
    run.evaluation.write_text(json.dumps(result | {"khat_above_0_7": 0.25, "proposals": rows}))
    (record,) = read_runs([run.path])
    assert record.evaluation["heavy_tail_share"] == 0.25
    assert record.evaluation["proposals"][0]["heavy_tail_share"] == 0.5
    assert "khat_above_0_7" not in record.evaluation


def test_command_keeps_split_and_number_of_draws(run):
    (record,) = read_runs([run.path])
    note = record.lacks("curve")
    assert note.text == "The evaluation of a b holds no curve."
    assert note.command.endswith("/a b' --split valid --num-samples 5000")


def test_sentences_of_another_evaluation_are_not_taken(run):
    result = json.loads(run.evaluation.read_text()) | {"evaluation_id": "e2"}
    run.evaluation.write_text(json.dumps(result))
    (record,) = read_runs([run.path])
    assert record.sentences is None
    assert "belongs to another evaluation" in record.sentences_note.text


def test_damaged_sentences_name_the_line(run):
    table = run.path / "evaluation.sentences.jsonl"
    table.write_text(table.read_text()[:-9])
    (record,) = read_runs([run.path])
    assert record.sentences is None
    assert "in line 3" in record.sentences_note.text


def test_missing_sentences_leave_the_evaluation(run):
    (run.path / "evaluation.sentences.jsonl").unlink()
    (record,) = read_runs([run.path])
    assert record.evaluation is not None
    assert "no numbers of single sentences" in record.sentences_note.text


def test_half_a_line_of_a_run_in_training_is_left_out(run):
    with open(run.metrics, "a") as file:
        file.write('{"kind": "epoch", "epoch": 2, "valid')
    (record,) = read_runs([run.path])
    assert [row["epoch"] for row in record.epochs] == [1]


def test_names_are_as_short_as_they_can_be_told_apart(run):
    other = RunFolder(run.path.parent.parent / "others" / "a b")
    other.path.mkdir(parents=True)
    other.config_json.write_text(run.config_json.read_text())
    assert [record.name for record in read_runs([run.path, other.path])] == [
        "runs/a b",
        "others/a b",
    ]


def test_the_same_run_twice_is_refused_by_whatever_name(run):
    with pytest.raises(UserError, match="is given twice: give every run once"):
        read_runs([run.path, run.path.parent / "." / ".." / "runs" / "a b"])


def test_no_run_at_all_is_refused():
    with pytest.raises(UserError, match="report needs a run folder: pyro-textvae report RUN"):
        read_runs([])
