# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import sys

import pytest

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.train import train

SMALL = {
    **{"data": "grammar", "num_sentences": 60, "epochs": 1, "device": "cpu"},
    **{"embedding_dim": 2, "hidden_dim": 2, "latent_dim": 1},
}


def test_code_that_cannot_be_remembered_is_told_by_a_new_run_and_by_one_that_replaces_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys.modules[train.__module__], "remember", lambda code: "not remembered")
    for overwrite in (False, True):
        lines = []
        train(TrainConfig(**SMALL), tmp_path / "run", overwrite=overwrite, report=lines.append)
        assert sum("not remembered" in line for line in lines) == 1


def test_folder_in_the_place_of_a_file_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.check_files()
    folder.evaluation.mkdir()
    with pytest.raises(UserError, match="is a folder, where a run has a file"):
        folder.check_files()


def test_warnings_of_a_constraint_are_told(tmp_path):
    lines = []
    of_constraint = {"prior": "gaussian_mixture", "constraint": "free_bits", "options": {"nats": 2}}
    train(TrainConfig(**SMALL | of_constraint), tmp_path / "run", report=lines.append)
    assert "warning: the KL of 'z' has no closed form, and free_bits clamps" in lines[0]
