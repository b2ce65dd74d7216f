# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys

from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.processes import gather, joined_processes, rank_and_size
from pyro_textvae.runs.train import train

SMALL = {
    "data": "grammar",
    "num_sentences": 200,
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


def test_two_processes_write_the_numbers_of_one(tmp_path, capsys):
    """Bit for bit: the per-sentence file, and all of evaluation.json but the command.

    By the refined proposal, which asks the guide first and then works on each sentence for itself.
    """
    train(TrainConfig(**SMALL), tmp_path / "run", report=lambda line: None)
    arguments = [
        "evaluate",
        str(tmp_path / "run"),
        "--num-samples",
        "120",
        "--batch-size",
        "7",
    ]
    arguments += ["--proposal", "refined", "--out"]
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert main([*arguments, str(one)]) == 0
    printed = [capsys.readouterr().out]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "pyro_textvae.cli.main", *arguments, str(two)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed.append(done.stdout)
    assert [text.count("nll, K = 120") for text in printed] == [1, 1]
    results = [json.loads(file.read_text()) for file in (one, two)]
    for result in results:
        assert result.pop("command").startswith("pyro-textvae evaluate")
    assert results[0] == results[1]
    rows = [file.with_suffix(".sentences.jsonl").read_bytes() for file in (one, two)]
    assert rows[0] == rows[1]
    assert results[0]["num_sentences"] == 20
