# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys

import pytest

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.processes import gather, joined_processes, rank_and_size
from pyro_textvae.runs.train import train

SMALL = {
    "data": "grammar",
    "num_sentences": 400,
    "embedding_dim": 6,
    "hidden_dim": 7,
    "latent_dim": 3,
    "epochs": 1,
    "device": "cpu",
}


def test_single_process_is_the_first_of_one_and_keeps_its_rows(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes():
        assert rank_and_size() == (0, 1)
        assert gather([3, 4]) == [3, 4]


@pytest.mark.parametrize("proposal", ["guide", "refined"])
def test_two_processes_write_the_numbers_of_one(tmp_path, proposal):
    """Bit for bit: the per-sentence file, and all of evaluation.json but the thread count."""
    train(TrainConfig(**SMALL), tmp_path / "run", report=lambda line: None)
    arguments = ["evaluate", str(tmp_path / "run"), "--num-samples", "120", "--batch-size", "7"]
    arguments += ["--proposal", proposal]
    module = ["-m", "pyro_textvae.cli.main"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    found = []
    for name, launcher in (("one", []), ("two", torchrun)):
        out = tmp_path / f"{name}.json"
        command = [sys.executable, *launcher, *module, *arguments, "--out", str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("nll, K = 120") == 1
        result = json.loads(out.read_text())
        assert result.pop("command").startswith("pyro-textvae evaluate")
        found.append((result, tmp_path / f"{name}.sentences.jsonl"))
    (one, one_rows), (two, two_rows) = found
    assert one == two
    assert one_rows.read_bytes() == two_rows.read_bytes()
    assert one["num_sentences"] == 40
