# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs of a grid in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.grid.test_run import AXES, SETTINGS, grid_in, quietly


@pytest.mark.slow
def test_side_by_side_is_one_after_the_other(tmp_path):
    expected, _ = quietly(grid_in(tmp_path / "expected", seeds=[0, 1]))
    axes = {"objective": {**AXES["objective"], "bad": {"procedure": "pretrained_encoder"}}}
    settings = SETTINGS | {"guide": "gaussian"}
    grid = grid_in(tmp_path / "grid", axes=axes, settings=settings, seeds=[0, 1])
    result, lines = quietly(grid, jobs=2)
    assert sorted(result["failures"]) == ["bad-seed0", "bad-seed1"]
    assert result["failures"]["bad-seed0"].startswith("pretrain_epochs=10 leaves none")
    assert any(line.startswith("half-seed1: epoch   1") for line in lines)
    found = {row["cell"]: row for row in result["rows"]}
    for row in expected["rows"]:
        assert found[row["cell"]]["nll"] == pytest.approx(row["nll"], rel=1e-5)


@pytest.mark.slow
def test_interrupted_processes_go_on(tmp_path):
    """SIGINT as soon as a run has a checkpoint; the same command then finishes."""
    grid = grid_in(tmp_path / "grid", settings=SETTINGS | {"epochs": 30, "patience": 30})
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    command = [sys.executable, "-m", "pyro_textvae.cli.main", "compare", tmp_path / "grid.yaml"]
    command += ["--jobs", "2", "--num-resamples", "1000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # What a shell starts in the background, this suite perhaps, ignores the signal.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=heed
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("grid/*/model.safetensors")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from them" in out
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "going on at epoch" in done.stdout
    assert json.loads((tmp_path / "grid" / "table.json").read_text())["failures"] == {}


def children_of(process):
    """Processes that this one started, by their ids."""
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True)
    return [int(pid) for pid in out.stdout.split()]


def is_running(pid):
    try:
        return f"{pid} (" in (stat := Path(f"/proc/{pid}/stat").read_text()) and ") Z " not in stat
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_their_parent(tmp_path, number):
    settings = SETTINGS | {"epochs": 3000, "patience": 3000}
    (tmp_path / "grid.yaml").write_text(
        yaml.safe_dump(grid_in(tmp_path / "grid", settings=settings))
    )
    command = [sys.executable, "-m", "pyro_textvae.cli.main", "compare", tmp_path / "grid.yaml"]
    process = subprocess.Popen(
        [*command, "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("grid/*/model.safetensors")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    children = children_of(process)
    assert children
    process.send_signal(number)
    process.wait()
    time.sleep(1)
    assert not any(is_running(pid) for pid in children)
