# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Run folders that are none, are damaged, or are in the way: refused, and left as they were."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs import load_run_corpus
from tests.cli.conftest import contents, write_corpus

READERS = [["evaluate"], ["sample"], ["reconstruct"], ["interpolate"], ["train", "--resume"]]


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_folder_that_is_no_run(check_refused, tmp_path, command):
    other = write_corpus(tmp_path / "other")
    (tmp_path / "empty").mkdir()
    advice = "give a folder made by train"
    check_refused(rf"other is not a run \(it has no config\.json\): {advice}", *command, other)
    check_refused(
        rf"empty is not a run \(it has no config\.json\): {advice}", *command, tmp_path / "empty"
    )
    check_refused(
        rf"nowhere is not a run \(no such folder\): {advice}", *command, tmp_path / "nowhere"
    )
    check_refused(rf"train\.txt is not a run .*: {advice}", *command, other / "train.txt")


@pytest.mark.parametrize("command", ["evaluate", "sample", "reconstruct", "interpolate"])
def test_no_run_named(check_refused, command):
    check_refused(rf"{command} needs a run folder: pyro-textvae {command} RUN", command)


@pytest.mark.parametrize("command", READERS[:4], ids=" ".join)
def test_weights_cut_short(check_refused, run_copy, command):
    cut_short(run_copy / "model.safetensors")
    check_refused(r"model\.safetensors is damaged .*: train the run again", *command, run_copy)


def test_weights_missing(check_refused, run_copy):
    (run_copy / "model.safetensors").unlink()
    check_refused(r"has no model\.safetensors: .*; go on with train --resume", "sample", run_copy)


def test_weights_of_another_model(check_refused, run_copy, language_model_run):
    shutil.copy(language_model_run / "model.safetensors", run_copy)
    check_refused(
        r"copy/model\.safetensors belongs to another model(?!.*torch\.Size).*: put .* back",
        *("sample", run_copy),
    )


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_state_cut_short(check_refused, run_copy, length):
    state = run_copy / "state" / "last.pt"
    state.write_bytes(state.read_bytes()[:length])
    check_refused(
        r"state/last\.pt is damaged .*: .*train again with --overwrite",
        *("train", "--resume", run_copy, "--epochs", "2"),
    )


def test_state_of_something_else(check_refused, run_copy):
    torch.save({"weights": torch.zeros(2)}, run_copy / "state" / "last.pt")
    check_refused(r"state/last\.pt .*--overwrite", "train", "--resume", run_copy, "--epochs", "2")


def test_state_of_another_model(check_refused, run_copy, language_model_run):
    shutil.copy(language_model_run / "state" / "last.pt", run_copy / "state")
    check_refused(r"state/last\.pt .*--overwrite", "train", "--resume", run_copy, "--epochs", "2")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        lambda path: path.write_text(""),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"format": 1}'),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: edit_json(path, lambda content: content["settings"].update(colour=1)),
        lambda path: edit_json(path, lambda content: content.pop("sizes")),
        lambda path: path.write_text('{"format": ' + "1" * 5000 + "}"),
    ],
    ids=["cut", "empty", "list", "bare", "binary", "unknown setting", "no sizes", "digits"],
)
def test_config_json_damaged(check_refused, run_copy, command, damage):
    damage(run_copy / "config.json")
    check_refused(r"copy/config\.json is damaged .*: train the run again", *command, run_copy)


def test_config_json_of_another_version(check_refused, run_copy):
    edit_json(run_copy / "config.json", lambda content: content.update(format=7))
    check_refused(r"config\.json has format 7, this version reads 1", "sample", run_copy)


@pytest.mark.parametrize("command", READERS[:4], ids=" ".join)
def test_tokenizer_of_another_run(check_refused, succeeds, train, new, run_copy, tmp_path, command):
    other = write_corpus(tmp_path / "other", train="all other words\nin this text\n")
    succeeds(*train, "--data", other)
    shutil.copy(new / "tokenizer.json", run_copy)
    check_refused(
        r"copy/tokenizer\.json does not belong to the model .*put the run's own .* back",
        *(*command, run_copy),
    )


@pytest.mark.parametrize("command", READERS[:4], ids=" ".join)
def test_tokenizer_cut_short_or_missing(check_refused, run_copy, command):
    cut_short(run_copy / "tokenizer.json")
    check_refused(r"copy/tokenizer\.json' is .* cut short: .*put .* back", *command, run_copy)
    (run_copy / "tokenizer.json").unlink()
    check_refused(r"cannot read .*copy/tokenizer\.json': No such file", *command, run_copy)


@pytest.mark.parametrize("command", ["reconstruct", "interpolate"])
def test_run_without_a_latent(check_refused, language_model_run, command):
    check_refused(r"no latent, .*: use a model with a latent", command, language_model_run)


def test_out_on_a_run(check_refused, succeeds, train, run_copy):
    check_refused(
        r"copy already holds a run: give --overwrite .*, --resume \S+copy .*, or another --out",
        *(*train, "--out", run_copy),
    )
    before = contents(run_copy)
    succeeds(*train, "--out", run_copy, "--hidden-dim", "6", "--overwrite")
    assert contents(run_copy).keys() == before.keys()
    settings = json.loads((run_copy / "config.json").read_text())["settings"]
    assert settings["hidden_dim"] == 6


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_out_on_what_is_no_run(check_refused, train, tmp_path, flags):
    other = write_corpus(tmp_path / "other")
    check_refused(
        r"other is not empty and not a run: choose another", *train, "--out", other, *flags
    )
    file = other / "train.txt"
    check_refused(r"train\.txt is a file: choose another --out", *train, "--out", file, *flags)
    check_refused(r"train\.txt.*: Not a directory", *train, "--out", file / "run", *flags)


def test_overwrite_removes_only_what_a_run_wrote(succeeds, train, run_copy, tmp_path):
    text = write_corpus(run_copy / "text")
    (run_copy / "notes.md").write_text("mine")
    before = contents(text)
    link = tmp_path / "link"
    link.symlink_to(run_copy)
    succeeds(*train, "--data", text, "--overwrite", "--out", link)
    assert contents(text) == before
    assert (run_copy / "notes.md").read_text() == "mine"


def test_evaluate_does_not_write_over_the_run(check_refused, run_copy):
    check_refused(
        r"--out .*config\.json is a file of the run itself",
        *("evaluate", run_copy, "--out", run_copy / "config.json"),
    )


def test_refused_settings_leave_the_run_to_overwrite_alone(check_refused, train, run_copy):
    overwrite = [*train, "--out", run_copy, "--overwrite"]
    check_refused(r"no such corpus", *overwrite, "--data", "nowhere")
    check_refused(r"no decoder 'lstmm'", *overwrite, "--decoder", "lstmm")
    check_refused(r"latent sites are z, the guide's none", *overwrite, "--guide", "empty")


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--hidden-dim", "9"], "hidden_dim"),
        (["--seed", "0"], "seed"),
        (["--overwrite"], "overwrite"),
        (["--out", "elsewhere"], "out"),
        (["--options.num_layers", "2"], "options"),
    ],
)
def test_resume_with_another_setting(check_refused, run, flags, name):
    check_refused(
        rf"takes its settings from the run, so {name}.* cannot be given: only --epochs and",
        *("train", "--resume", run, "--epochs", "2", *flags),
    )


@pytest.mark.parametrize("epochs", ["0", "-4"])
def test_resume_to_no_epoch(check_refused, run, epochs):
    check_refused(r"epochs must be at least 1", "train", "--resume", run, "--epochs", epochs)


def test_evaluation_whose_files_would_have_too_long_names_is_refused_before_it_scores(
    check_refused, succeeds, run_copy, tmp_path, monkeypatch
):
    longest = 255 - len(f"unfinished-{os.getpid()}-.sentences.jsonl")
    arguments = ["evaluate", run_copy, "--num-samples", "2", "--proposal", "guide"]
    succeeds(*arguments, "--out", str(tmp_path / f"{'a' * longest}.json"))
    module = sys.modules["pyro_textvae.runs.evaluate"]
    monkeypatch.setattr(module, "evaluate", lambda *_, **__: 1 / 0)
    for name in ("a" * (longest + 1), "\u00e9" * (longest // 2 + 1)):
        out = str(tmp_path / f"{name}.json")
        check_refused(r"name too long: .* bytes shorter", *arguments, "--out", out)


@pytest.mark.parametrize(
    "command", [["evaluate"], ["reconstruct"], ["train", "--resume"]], ids=" ".join
)
def test_relative_path_of_the_text_from_another_folder(
    check_refused, run_copy, corpus, monkeypatch, command
):
    edit_json(run_copy / "config.json", lambda content: content["settings"].update(data="toy"))
    message = rf"copy was trained on toy, a path relative to .* none in {Path.cwd()}: start"
    check_refused(message, *command, run_copy)
    monkeypatch.chdir(corpus.parent)
    assert len(load_run_corpus(RunFolder(run_copy)).train) == 32


def test_overwrite_where_a_file_of_the_run_is_a_folder(check_refused, train, run_copy):
    """Nothing of the old run is removed: it was half gone when the folder was come to."""
    (run_copy / "evaluation.json").mkdir()
    (run_copy / "evaluation.json" / "notes.txt").write_text("a person's")
    check_refused(
        r"copy/evaluation\.json is a folder, where a run has a file: move it away",
        *(*train, "--out", run_copy, "--overwrite"),
    )


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.jsonl", "state/last.pt"])
def test_resume_where_a_file_of_the_run_is_a_folder(check_refused, run_copy, name):
    """Metrics were added, and settings changed, before the folder was come to."""
    (run_copy / name).unlink()
    (run_copy / name).mkdir()
    message = rf"copy/{name} is a folder, where a run has a file: move it away"
    check_refused(message, "train", "--resume", run_copy, "--epochs", "2")


@pytest.mark.parametrize("command", [["evaluate"], ["compare", "other"], ["report"]])
def test_links_in_a_circle(check_refused, run_copy, command):
    for name in ("tokenizer.json", "evaluation.json", "config.json"):
        (run_copy / name).unlink(missing_ok=True)
        (run_copy / name).symlink_to(name)
    check_refused(r"copy was stopped before its training began|is not a run", *command, run_copy)
    os.symlink("circle", "circle")
    check_refused(r"is not a run", *command, "circle")
