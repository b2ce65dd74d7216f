# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A run has one writer at a time; what a dead one left does not stop the next."""

import errno
import fcntl
import json
import os
import platform
import re
import subprocess
import sys

import pytest

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.one_writer import one_writer


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "writer.lock"


def owned_by(lock, pid, host):
    lock.write_text(json.dumps({"process": pid, "host": host}))


def test_second_writer_is_told_of_the_first(lock):
    said = f"runs/a is being written by process {os.getpid()} on {re.escape(platform.node())}: wait"
    with one_writer(lock, "runs/a"):
        with pytest.raises(UserError, match=said), one_writer(lock, "runs/a"):
            pass
        assert json.loads(lock.read_text())["process"] == os.getpid()
    assert not lock.exists()
    with one_writer(lock, "runs/a"):
        pass


def test_lock_of_a_killed_process_is_taken_over(lock):
    code = (
        "import os, signal, sys, pathlib\n"
        "from pyro_textvae.run_folder.one_writer import one_writer\n"
        "with one_writer(pathlib.Path(sys.argv[1]), 'it'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(lock)], check=False)
    assert killed.returncode < 0
    assert lock.exists()
    with one_writer(lock, "it"):
        assert json.loads(lock.read_text())["process"] == os.getpid()
    assert not lock.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": null}'])
def test_damaged_lock_is_taken_over(lock, content):
    lock.write_text(content)
    with one_writer(lock, "it"):
        assert json.loads(lock.read_text())["process"] == os.getpid()
    assert not lock.exists()


def test_without_locks_of_the_file_system_the_owner_decides(lock, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    owned_by(lock, os.getppid(), platform.node())
    with pytest.raises(UserError, match="being written"), one_writer(lock, "it"):
        pass
    owned_by(lock, 1, "elsewhere")
    with pytest.raises(UserError, match="on elsewhere: .* remove"), one_writer(lock, "it"):
        pass
    owned_by(lock, 2**22 + 1, platform.node())
    with one_writer(lock, "it"):
        pass


def test_writer_of_a_run_may_enter_again(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.writing(), folder.writing():
        with pytest.raises(UserError, match="run is being written by"):
            RunFolder(folder.path).writing().__enter__()
    assert list(folder.path.iterdir()) == []
