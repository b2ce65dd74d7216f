# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A run killed at any moment and resumed is the run left alone, value for value."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.train import resume, train

SETTINGS = {
    "data": "grammar",
    "num_sentences": 350,
    "embedding_dim": 6,
    "hidden_dim": 7,
    "latent_dim": 3,
    "epochs": 3,
    "batch_size": 8,
    "kl_epochs": 2.0,
    "log_every": 5,
    "checkpoint_every": 11,
    "device": "cpu",
}


FORKED = """
import json, os, sys
import torch._dynamo
from pyro_textvae.cli.main import main
from pyro_textvae.runs import train
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.dup2(2, 1)
        os._exit(main(["train", *json.loads(line)]))
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
"""Each command in a process of its own, without the seconds that imports take."""


def flags(out):
    pairs = [(f"--{name}", str(value)) for name, value in {**SETTINGS, "out": out}.items()]
    return [part for pair in pairs for part in pair]


def kill_when(forks, arguments, arrived):
    """SIGKILL a process of the command as soon as ``arrived()``; False when it ended before."""
    print(json.dumps([str(argument) for argument in arguments]), file=forks.stdin, flush=True)
    pid = int(forks.stdout.readline())
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if arrived():
            os.kill(pid, signal.SIGKILL)
            return int(forks.stdout.readline()) == signal.SIGKILL
        if select.select([forks.stdout], [], [], 0.001)[0]:
            return False
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the run never got so far")


def lines_of(path):
    return path.read_text().count("\n") if path.exists() else 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run left alone, in this process; no test may write into it."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        train(TrainConfig(**SETTINGS), folder, report=lambda line: None)
    return folder


def test_run_killed_and_resumed_again_and_again_is_the_undisturbed_one(tmp_path, undisturbed):
    """Killed before its first step, in its first epoch and, between two checkpoints, in its second.

    Of metrics.jsonl each of the three epochs has seven lines of steps, and one of its own.
    """
    folder = tmp_path / "run"
    metrics = folder / "metrics.jsonl"
    moments = [
        (flags(folder), lambda: (folder / "config.json").exists()),
        (["--resume", folder], lambda: lines_of(metrics) >= 3),
        (["--resume", folder], lambda: lines_of(metrics) >= 10),
    ]
    with subprocess.Popen(
        [sys.executable, "-c", FORKED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as forks:
        for arguments, arrived in moments:
            is_killed = kill_when(forks, arguments, arrived)
            assert is_killed, "it ended before it could be killed: give it more to do"
            assert lines_of(metrics) < lines_of(undisturbed / "metrics.jsonl")
        forks.stdin.close()
    resume(folder, report=lambda line: None)
    assert metrics.read_text() == (undisturbed / "metrics.jsonl").read_text()
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, undisturbed))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_finished_run_goes_on_to_more_epochs(tmp_path, undisturbed):
    short = tmp_path / "short"
    train(TrainConfig(**SETTINGS | {"epochs": 1}), short, report=lambda line: None)
    resume(short, epochs=3, report=lambda line: None)
    assert (short / "metrics.jsonl").read_text() == (undisturbed / "metrics.jsonl").read_text()
    assert json.loads((short / "config.json").read_text())["settings"]["epochs"] == 3


def test_finished_run_says_so_and_stays(tmp_path):
    train(TrainConfig(**SETTINGS | {"epochs": 1}), tmp_path / "run", report=lambda line: None)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    lines = []
    resume(tmp_path / "run", report=lines.append)
    assert "finished after 1 epochs" in lines[0]
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_folder_killed_before_anything_ran_can_be_started_again(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(TrainConfig(**SETTINGS).to_dict(), overwrite=False)
    with pytest.raises(UserError, match="stopped before its training began: train it again"):
        resume(folder.path)
    train(
        TrainConfig(**SETTINGS | {"epochs": 1}),
        folder.path,
        overwrite=True,
        report=lambda line: None,
    )
    assert folder.weights.is_file()


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("lost", ["state", "state and model.safetensors"])
def test_run_without_its_checkpoint_is_not_begun_anew_over_what_it_holds(
    tmp_path, undisturbed, lost
):
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    shutil.rmtree(folder / "state")
    if "model" in lost:
        (folder / "model.safetensors").unlink()
    before = contents(folder)
    with pytest.raises(UserError, match=r"checkpoint .*last\.pt is gone: .*--out .* --overwrite"):
        resume(folder, epochs=5, report=lambda line: None)
    assert contents(folder) == before


def test_run_killed_before_its_first_checkpoint_begins(tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = TrainConfig(**SETTINGS | {"epochs": 1})
    train(config, folder.path, report=lambda line: None)
    shutil.rmtree(folder.state.parent)
    folder.weights.unlink()
    expected = folder.metrics.read_bytes()
    folder.metrics.unlink()
    folder.state.parent.mkdir()
    resume(folder.path, report=lambda line: None)
    assert folder.metrics.read_bytes() == expected


def damage_with_nul_bytes(path):
    path.write_bytes(bytes(40) + path.read_bytes()[40:])


def cut_in_a_line(path):
    path.write_bytes(path.read_bytes()[:50])


def shift_lines(path):
    path.write_bytes(b"{}" + path.read_bytes())


@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl"])
@pytest.mark.parametrize(
    "damage",
    [os.unlink, damage_with_nul_bytes, cut_in_a_line, shift_lines],
    ids=lambda f: f.__name__,
)
def test_lost_or_damaged_metrics_are_said_and_not_filled_up(tmp_path, undisturbed, name, damage):
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    damage(folder / name)
    before = contents(folder)
    with pytest.raises(UserError, match=rf"{name} is damaged \(.*\): put .* with --overwrite"):
        resume(folder, epochs=4, report=lambda line: None)
    assert contents(folder) == before


def test_run_that_is_being_written_is_neither_resumed_nor_replaced(tmp_path, undisturbed):
    folder = RunFolder(shutil.copytree(undisturbed, tmp_path / "run"))
    with folder.writing():
        before = contents(folder.path)
        with pytest.raises(UserError, match=f"is being written by process {os.getpid()} on"):
            resume(folder.path, epochs=4, report=lambda line: None)
        with pytest.raises(UserError, match="is being written by"):
            train(TrainConfig(**SETTINGS), folder.path, overwrite=True, report=lambda line: None)
        assert contents(folder.path) == before


@pytest.mark.parametrize("where", ["report", "checkpoint"])
def test_run_to_overwrite_stays_until_the_new_one_has_a_checkpoint(
    tmp_path, undisturbed, monkeypatch, where
):
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    before = contents(folder)
    during = []

    def fail(*_):
        during.append(contents(folder))
        raise OSError("disk full")

    config = TrainConfig(**SETTINGS | {"epochs": 1, "hidden_dim": 5})
    report = fail if where == "report" else lambda line: None
    if where == "checkpoint":
        monkeypatch.setattr(RunFolder, "save_state", fail)
    with pytest.raises(OSError, match="disk full"):
        train(config, folder, overwrite=True, report=report)
    assert before.items() <= during[0].items()
    assert contents(folder) == before
    monkeypatch.undo()
    train(config, folder, overwrite=True, report=lambda line: None)
    assert contents(folder).keys() == before.keys()
    assert json.loads((folder / "config.json").read_text())["settings"]["hidden_dim"] == 5


def test_early_stopped_run_stays_stopped(tmp_path):
    hopeless = {"learning_rate": 0.9, "patience": 1, "max_decays": 1, "kl_epochs": 0.01}
    config = TrainConfig(**SETTINGS | hopeless | {"epochs": 40, "num_sentences": 75})
    progress = train(config, tmp_path / "run", report=lambda line: None)
    assert progress.finished
    lines = []
    assert resume(tmp_path / "run", epochs=60, report=lines.append) == progress
    assert "stopped early" in lines[0]


def test_metrics_hold_what_a_plot_needs(undisturbed):
    rows = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    for row in epochs:
        assert row["valid_elbo"] == pytest.approx(row["valid_reconstruction"] + row["valid_kl"])
    assert epochs[-1]["kl_weight"] == 1.0
    assert epochs[0]["valid_elbo"] > epochs[-1]["valid_elbo"]
    steps = [row["step"] for row in rows if row["kind"] == "step"]
    assert steps == list(range(5, 106, 5))
