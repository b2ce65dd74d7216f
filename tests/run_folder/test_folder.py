# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a run folder says of its training and its settings without opening the checkpoint."""

import json
import math
import os
import shutil
from pathlib import Path

import pytest
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder

BUILT = {"specs": {}, "sizes": {}, "tokenizer_fingerprint": "t", "corpus_fingerprint": "c"}
PROGRESS = {"epoch": 2, "batch": 0, "step": 14, "best_bound": 60.5, "finished": False}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(TrainConfig().to_dict(), overwrite=False)
    folder.write_config(TrainConfig().to_dict(), BUILT)
    folder.save_state({"progress": PROGRESS})
    folder.write_progress(PROGRESS)
    return folder


def test_progress_comes_back(folder):
    assert folder.read_progress() == PROGRESS
    folder.write_progress(PROGRESS | {"best_bound": math.inf})
    assert folder.read_progress() == PROGRESS | {"best_bound": None}


def test_progress_stays_known_where_its_checkpoint_was_taken_away(folder):
    folder.state.unlink()
    assert folder.read_progress() == PROGRESS


def test_no_progress_of_another_version(folder):
    folder.progress.write_text(json.dumps(PROGRESS))
    assert folder.read_progress() is None


def test_progress_of_another_checkpoint_is_not_believed(folder):
    folder.save_state({"progress": PROGRESS, "more": torch.zeros(100)})
    assert folder.read_progress() is None


def test_overwriting_a_run_removes_its_progress(folder):
    assert folder.progress in folder.of_training
    folder.create(TrainConfig().to_dict(), overwrite=True)
    assert not folder.progress.exists()


def test_settings_are_read_again_only_where_the_file_changed(folder):
    first = folder.read_settings()
    assert folder.read_settings() is first
    assert folder.read_config() is folder.read_config()
    folder.write_config(TrainConfig(epochs=3).to_dict(), BUILT)
    assert folder.read_settings().epochs == 3
    folder.config_json.unlink()
    with pytest.raises(UserError, match="stopped before its training began"):
        folder.read_settings()


def test_a_folder_is_called_what_it_was_given_as(folder):
    assert RunFolder.of(folder) is folder
    assert str(RunFolder.of("runs/a/")) == "runs/a/"


def test_progress_is_small_and_says_what_the_checkpoint_does(folder):
    assert folder.progress.stat().st_size < 300
    assert json.loads(folder.progress.read_text())["checkpoint_bytes"] == (
        folder.state.stat().st_size
    )


def contents(folder):
    """Bytes of the files under a path, but for the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "writer.lock"]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_run_that_is_replaced_is_the_old_one_or_the_new_one(tmp_path, folder, monkeypatch):
    """Stopped before each change of the file system in turn, the next writer brings it to its end.

    What a person put beside the run stays.
    """
    settings = TrainConfig(epochs=3).to_dict()
    (folder.path / "notes.md").write_text("mine")
    folder.evaluation.write_text("of the old weights")
    plain = {name: getattr(os, name) for name in ("replace", "unlink", "rmdir")}
    calls = 0
    for stop in range(100):
        run = RunFolder(shutil.copytree(folder.path, tmp_path / f"copy{stop}"))
        old = contents(run.path)
        with run.writing(), run.replacement() as new:
            new.create(settings, overwrite=False)
            new.write_config(settings, BUILT)
            new.save_state({"progress": PROGRESS})
            assert {k: v for k, v in contents(run.path).items() if k in old} == old
            expected = contents(new.path) | {Path("notes.md"): b"mine"}
            calls = 0
            for name, function in plain.items():

                def stopped(*args, function=function, stop=stop, **kwargs):
                    nonlocal calls
                    if calls == stop:
                        raise KeyboardInterrupt
                    calls += 1
                    return function(*args, **kwargs)

                monkeypatch.setattr(os, name, stopped)
            try:
                run.replace(new)
                finished = True
            except KeyboardInterrupt:
                finished = False
            monkeypatch.undo()
            if calls == 0:
                shutil.rmtree(new.path)
                expected = old
        assert run.is_run()
        with run.writing():
            assert contents(run.path) == expected
        if finished:
            break
    assert finished
    assert stop > 5
