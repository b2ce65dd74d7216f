# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a run folder says of its training and its settings without opening the checkpoint."""

import json
import math

import pytest
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder

BUILT = {"specs": {}, "sizes": {}, "tokenizer_fingerprint": "t", "corpus_fingerprint": "c"}
PROGRESS = {"epoch": 2, "batch": 0, "step": 14, "best_elbo": 60.5, "finished": False}


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
    folder.write_progress(PROGRESS | {"best_elbo": math.inf})
    assert folder.read_progress() == PROGRESS | {"best_elbo": None}


def test_no_progress_without_its_checkpoint(folder):
    folder.state.unlink()
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
