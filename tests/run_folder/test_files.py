# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all, with the mode that the user's umask gives."""

import os
import resource
import stat
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.files import not_through_links, write_text


@pytest.fixture
def umask():
    """Set the umask for one test."""
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


@contextmanager
def files_of_at_most(size):
    """As on a disk that is full: a file that would grow beyond ``size`` bytes cannot."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save_weights(folder, seed):
    torch.manual_seed(seed)
    folder.save_weights(torch.nn.Linear(70, 50))


def save_state(folder, seed):
    folder.save_state({"weight": torch.full((70, 50), float(seed))})


def save_settings(folder, seed):
    folder.write_settings({"data": str(seed) * 20_000})


@pytest.mark.parametrize("save", [save_weights, save_state, save_settings])
@pytest.mark.parametrize("size", [0, 1, 100, 4096, 12_000])
def test_full_disk_is_said_in_one_line_and_leaves_the_file_of_before(tmp_path, save, size):
    folder = RunFolder(tmp_path)
    folder.state.parent.mkdir()
    save(folder, 1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (path,) = before
    with (
        files_of_at_most(size),
        pytest.raises(UserError, match=rf"cannot write {path}: File too large; make room"),
    ):
        save(folder, 2)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_error_that_is_not_of_the_file_system_stays_what_it_is(tmp_path):
    folder = RunFolder(tmp_path)
    folder.state.parent.mkdir()
    with pytest.raises(AttributeError):
        folder.save_state({"cannot be written": lambda: None})
    assert not list(folder.state.parent.iterdir())


@pytest.fixture(scope="module")
def dead_pid():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_next_writer_of_a_file_removes_what_a_killed_one_left_of_it(tmp_path, dead_pid):
    left = tmp_path / f"unfinished-{dead_pid}-a.json"
    of_another = tmp_path / f"unfinished-{dead_pid}-b.json"
    of_a_living_one = tmp_path / f"unfinished-{os.getppid()}-a.json"
    for path in (left, of_another, of_a_living_one):
        path.write_text("half")
    write_text(tmp_path / "a.json", "whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.json", of_another, of_a_living_one])


def test_writer_of_a_run_removes_all_that_killed_ones_left(tmp_path, dead_pid):
    folder = RunFolder(tmp_path)
    folder.state.parent.mkdir()
    for path in (
        tmp_path / f"unfinished-{dead_pid}-model.safetensors",
        folder.state.with_name(f"unfinished-{dead_pid}-last.pt"),
        tmp_path / ".tmpAb3x9Z",
    ):
        path.write_text("half")
    unfinished_run = tmp_path / f"unfinished-{dead_pid}-run"
    unfinished_run.mkdir()
    (unfinished_run / "config.yaml").write_text("epochs: 1")
    (tmp_path / "unfinished-thoughts.md").write_text("mine")
    with folder.writing():
        left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["state", "unfinished-thoughts.md", "writer.lock"]


def test_folder_that_holds_only_what_a_killed_process_left_is_free(tmp_path, dead_pid):
    folder = RunFolder(tmp_path)
    (tmp_path / f"unfinished-{dead_pid}-config.yaml").write_text("epo")
    folder.create({"epochs": 1}, overwrite=False)
    assert folder.is_run()


def test_files_that_are_added_to_are_opened_without_links(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for _ in range(2):
        with open(path, "a", opener=not_through_links) as file:
            file.write("a")
    assert path.read_text() == "aa"
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("link", "link"), ("pipe", "pipe or a device")):
        with pytest.raises(UserError, match=f"{name} is a {what}: remove it"):
            open(tmp_path / name, "a+", opener=not_through_links)
    with pytest.raises(FileNotFoundError):
        open(tmp_path / "no" / "such", "a", opener=not_through_links)
