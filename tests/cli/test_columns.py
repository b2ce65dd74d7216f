# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Columns on the command line: what a program does not name is no error, what it lacks is."""

import json
import random

import pytest

from pyro_textvae.cli.main import main
from pyro_textvae.report.decoded_run import decode_run
from pyro_textvae.report.run_record import read_runs

TINY = "--embedding-dim 4 --hidden-dim 5 --latent-dim 2 --epochs 1".split()
SENTIMENT = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class LabelledVAE(PyroModule):
    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.loc = nn.Embedding(3, latent_dim)

    def forward(self, labels, tokens=None):
        with pyro.plate("data", len(labels)):
            loc = self.loc(labels % 3)
            z = pyro.sample("z", dist.Normal(loc, torch.ones_like(loc)).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)
"""


@pytest.fixture
def reviews(tmp_path):
    generator = random.Random(0)
    folder = tmp_path / "reviews"
    folder.mkdir()
    for split, size in (("train", 12), ("valid", 4), ("test", 4)):
        rows = []
        for number in range(size):
            words = generator.choices("cat dog bird fox sat ran sang".split(), k=1 + number % 4)
            rows.append({"text": " ".join(words), "about": "pets", "mood": "ab"[number % 2]})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def numbers(run, name="evaluation.json"):
    return json.loads((run / name).read_text())


def test_a_program_that_wants_less_trains_to_the_same_weights(reviews, tmp_path, capsys):
    plain, labelled = tmp_path / "plain", tmp_path / "labelled"
    assert main(["train", "--data", str(reviews), *TINY, "--out", str(plain)]) == 0
    columns = ["--label-column", "mood"]
    assert main(["train", "--data", str(reviews), *columns, *TINY, "--out", str(labelled)]) == 0
    said = capsys.readouterr().out
    assert said.count("the column 'mood' changes nothing in training") == 1
    weights = [(run / "model.safetensors").read_bytes() for run in (plain, labelled)]
    assert weights[0] == weights[1]
    for run in (plain, labelled):
        assert (
            main(
                [
                    "evaluate",
                    str(run),
                    "--num-samples",
                    "500",
                    "--proposal",
                    "guide",
                    "--report",
                    "false",
                ]
            )
            == 0
        )
    # The draws of a sentence are of all of its fields.
    assert numbers(plain)["nll"] == pytest.approx(numbers(labelled)["nll"], abs=0.05)
    assert numbers(plain)["corpus_fingerprint"] != numbers(labelled)["corpus_fingerprint"]
    assert numbers(labelled, "config.json")["corpus"]["label_names"] == ["a", "b"]
    assert main(["train", "--resume", str(labelled), "--epochs", "2"]) == 0


def test_a_field_that_the_corpus_lacks_is_named_before_training(reviews, tmp_path, capsys):
    model = tmp_path / "sentiment.py"
    model.write_text(SENTIMENT)
    run = tmp_path / "run"
    train = ["train", "--data", str(reviews), "--model", str(model), "--guide", "gaussian"]
    train += [*TINY, "--out", str(run)]
    assert main(train) == 2
    message = capsys.readouterr().err
    assert "LabelledVAE needs the field 'labels', and the batch has tokens: name" in message
    assert "its column with --label-column (label_column= of load_corpus)" in message
    assert message.count("\n") == 1
    assert not run.exists()
    assert main([*train, "--label-column", "mood"]) == 0


def test_other_text_is_read_with_the_labels_of_the_run(reviews, tmp_path, capsys):
    model = tmp_path / "sentiment.py"
    model.write_text(SENTIMENT)
    run = tmp_path / "run"
    train = ["train", "--data", str(reviews), "--model", str(model)]
    train += [*TINY, "--label-column", "mood", "--out", str(run)]
    assert main(train) == 0
    assert numbers(run, "config.json")["specs"]["guide"] == "gaussian"
    evaluate = [
        "evaluate",
        str(run),
        "--num-samples",
        "5",
        "--proposal",
        "guide",
        "--report",
        "false",
    ]
    assert main(evaluate) == 0
    nll = numbers(run)["nll"]
    (record,) = read_runs([run])
    decoded = decode_run(record, seed=0, device="cpu", num_sentences=4, num_shown=2)
    assert (len(decoded.samples), len(decoded.reconstructions), decoded.problem) == (2, 2, "")
    # A train split with the second label alone would number it 0.
    for split in ("train", "valid"):
        path = reviews / f"{split}.jsonl"
        path.write_text('{"text": "cat", "about": "pets", "mood": "b"}\n')
    other = [*evaluate, "--data", str(reviews)]
    assert main([*other, "--label-column", "mood"]) == 0
    assert numbers(run)["nll"] == nll
    capsys.readouterr()
    assert main(other) == 2
    assert "name its column with --label-column" in capsys.readouterr().err
    (reviews / "valid.jsonl").write_text('{"text": "cat", "mood": "c"}\n')
    assert main([*other, "--label-column", "mood"]) == 2
    assert "has the label 'c', and the model was trained on a, b" in capsys.readouterr().err
