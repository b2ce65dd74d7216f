# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Output that nobody reads, and arguments and environments of other kinds."""

import os
import subprocess
import sys

import pytest

import pyro_textvae.cli.main as main_module
from pyro_textvae.errors import UserError
from pyro_textvae.processes import joined_processes, rank_and_size
from tests.cli.conftest import TINY

COMMAND = [sys.executable, "-m", "pyro_textvae.cli.main"]


def test_training_goes_on_when_nobody_reads(corpus, new):
    """Both streams are pipes without a reader from the start."""
    read, write = os.pipe()
    os.close(read)
    arguments = ["train", "--data", str(corpus), *TINY, "--out", str(new)]
    done = subprocess.run([*COMMAND, *arguments], stdout=write, stderr=write, timeout=120)
    os.close(write)
    assert done.returncode == 0
    assert (new / "model.safetensors").is_file()


def test_closed_streams(corpus, new):
    arguments = ["train", "--data", str(corpus), *TINY, "--out", str(new)]
    shell = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh"]
    done = subprocess.run([*shell, *COMMAND, *arguments], timeout=120)
    assert done.returncode == 0
    assert (new / "model.safetensors").is_file()


def test_a_name_that_this_machine_cannot_encode_is_one_line(monkeypatch, cli):
    monkeypatch.setattr(main_module, "_run", lambda given: "\xe9".encode("ascii"))
    message = "error: this terminal or file system takes no '\\xe9': set PYTHONUTF8=1"
    assert cli("sample") == (2, "", f"pyro-textvae: {message}\n")


def test_argument_that_is_not_utf8():
    done = subprocess.run([*COMMAND, "sample", b"run\xff"], capture_output=True, timeout=60)
    assert done.returncode == 2
    assert b"is not UTF-8 text: rename the file or folder" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("two", "WORLD_SIZE must be a number of processes, got 'two'"),
        ("0", "WORLD_SIZE must be a number of processes, got '0'"),
        ("2", "WORLD_SIZE is 2 and RANK is not set: unset WORLD_SIZE, or start"),
    ],
)
def test_environment_of_no_torchrun(monkeypatch, size, message):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(UserError, match=message), joined_processes():
        pass


def test_empty_world_size_is_one_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "")
    with joined_processes():
        assert rank_and_size() == (0, 1)
