# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all, with the mode that the user's umask gives."""

import os
import stat

import pytest
import torch

from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.files import write_text


@pytest.fixture
def umask():
    """Sets the umask for one test."""
    before = os.umask(0)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_all_files_have_the_mode_of_the_umask(tmp_path, umask, mask, mode):
    umask(mask)
    folder = RunFolder(tmp_path)
    folder.state.parent.mkdir()
    folder.save_weights(torch.nn.Linear(2, 3))
    folder.save_state({"step": 1})
    folder.write_settings({"epochs": 1})
    write_text(folder.evaluation, "{}")
    for path in (folder.weights, folder.state, folder.config_yaml, folder.evaluation):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
