# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``torchrun -m pyro_textvae train``: one run, one writer, one line of error."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyro_textvae.cli.main import main

pytestmark = pytest.mark.slow

SETTINGS = {
    "--data": "grammar",
    "--num-sentences": 300,
    "--device": "cpu",
    "--embedding-dim": 8,
    "--hidden-dim": 9,
    "--latent-dim": 3,
    "--epochs": 2,
    "--log-every": 2,
    "--checkpoint-every": 3,
}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def train(out, *flags, **changes):
    named = {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    settings = [text for pair in (SETTINGS | named).items() for text in map(str, pair)]
    return ["train", *settings, *flags, "--out", str(out)]


def launch(*arguments, size=2, restarts=0):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(size)]
    command = [sys.executable, *torchrun, "--max-restarts", str(restarts), "-m", "pyro_textvae"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=600)
    errors = [line for line in err.splitlines() if line.startswith("pyro-textvae: error:")]
    return process.returncode, out, errors


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def wait_for(path):
    end = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def ranks_of(launcher):
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return sorted(map(int, children))


def assert_same_steps(rows, others):
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    for row, other in zip(rows, others, strict=True):
        for name, value in row.items():
            assert value == other[name] or abs(value - other[name]) < 1e-4 * max(1, abs(value))


def test_run_of_two_goes_on_in_one_and_in_three(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(train(one, epochs=4)) == 0
    status, out, errors = finish(launch(*train(two)))
    assert (status, errors) == (0, [])
    assert out.count("epoch   1") == 1
    assert main(["train", "--resume", str(two), "--epochs", "3"]) == 0
    status, _, errors = finish(launch("train", "--resume", two, "--epochs", "4", size=3))
    assert (status, errors) == (0, [])
    assert_same_steps(rows_of(one), rows_of(two))
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}


def test_killed_rank_is_named_and_the_run_goes_on_after_a_restart(tmp_path):
    peace, named, killed = (tmp_path / name for name in ("peace", "named", "killed"))
    assert finish(launch(*train(peace, epochs=30)))[0] == 0
    process = launch(*train(named, epochs=30))
    wait_for(named / "state" / "last.pt")
    os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
    started = time.monotonic()
    status, _, errors = finish(process)
    assert time.monotonic() - started < 60
    assert status != 0
    (error,) = errors
    assert "rank 1 of 2 was killed or crashed" in error
    for rank in (0, 1):
        process = launch(*train(killed, "--overwrite", epochs=30), restarts=2)
        wait_for(killed / "state" / "progress.json")
        os.kill(ranks_of(process.pid)[rank], signal.SIGKILL)
        assert finish(process)[0] == 0
        assert (killed / "metrics.jsonl").read_bytes() == (peace / "metrics.jsonl").read_bytes()
        (killed / "state" / "progress.json").unlink()


def test_loss_that_is_not_finite_ends_all_with_one_line(tmp_path):
    command = train(tmp_path / "run", learning_rate="1e30", clip_norm="1e30")
    status, _, errors = finish(launch(*command))
    assert status != 0
    (error,) = errors
    assert "error: rank 0, 1 of 2: loss nan at step 2" in error
    assert "the last good checkpoint" in error


def test_batch_smaller_than_the_processes(tmp_path):
    status, _, errors = finish(launch(*train(tmp_path / "run", batch_size=1)))
    assert status != 0
    (error,) = errors
    assert "batch_size=1 sentences are fewer than 2 processes" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 20}, "rank 1 has another setting batch_size than rank 0, 20 in the"),
        ({"data_options": '{"zzz": 1}'}, "rank 1 of 2: "),
        ({"num_sentences": 200}, "rank 1 has another fingerprint of the corpus than rank 0"),
    ],
)
def test_processes_that_differ_are_refused_in_one_line(tmp_path, changes, message):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank in range(2):
        arguments = train(tmp_path / "run", **(changes if rank else {}))
        of_rank = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "pyro_textvae", *arguments],
                env=ENVIRONMENT | of_rank | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    found = [finish(process) for process in processes]
    assert [status for status, _, _ in found] == [2, 2]
    (error,) = [error for _, _, errors in found for error in errors]
    assert message in error
    assert not (tmp_path / "run").exists()
