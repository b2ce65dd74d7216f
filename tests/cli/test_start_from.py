# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Training that begins with the weights of another run."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.load import load_tokenizer, read_run
from pyro_textvae.runs.starting_weights import start_from
from pyro_textvae.runs.train import resume
from pyro_textvae.runs.train import train as train_run
from tests.cli.conftest import TINY, write_corpus

STILL = ["--learning-rate", "1e-30"]


def weights_of(run):
    return load_file(run / "model.safetensors")


def begins_as(run, new, names):
    """Whether the weights of ``new``, which training did not move, are those of ``run``."""
    old, now = weights_of(run), weights_of(new)
    return all(torch.allclose(old[name], now[name], rtol=0, atol=1e-20) for name in names)


def test_all_weights_of_a_run_of_the_same_programs(succeeds, train, run, new):
    out = succeeds(*train, *STILL, "--seed", "7", "--start-from", run)
    total = sum(value.numel() for value in weights_of(run).values())
    assert f"{total:,} of {total:,} parameters begin as those of {run}\n" in out
    assert begins_as(run, new, weights_of(run))
    start = json.loads((new / "config.json").read_text())["start"]
    assert start["run"] == str(run)
    assert len(start["weights_sha256"]) == 64


def test_what_has_no_like_in_the_other_run_stays_as_drawn(succeeds, corpus, train, run, tmp_path):
    drawn, new = tmp_path / "drawn", tmp_path / "wide"
    wide = ["train", "--data", corpus, *TINY, *STILL, "--latent-dim", "3", "--seed", "7"]
    succeeds(*wide, "--out", drawn)
    out = succeeds(*wide, "--out", new, "--start-from", run)
    like = [
        name
        for name, value in weights_of(run).items()
        if weights_of(new)[name].shape == value.shape
    ]
    others = sorted(set(weights_of(new)) - set(like))
    assert others
    assert begins_as(run, new, like)
    assert begins_as(drawn, new, others)
    assert "; as drawn: " in out
    assert f"and {len(others) - 4} more" in out
    # The noise of training is that of its seed, wherever it starts.
    assert not begins_as(drawn, new, like)


def test_seed_in_the_path(succeeds, train, run, tmp_path, new):
    (tmp_path / "run-7").symlink_to(run)
    out = succeeds(*train, "--seed", "7", "--start-from", tmp_path / "run-{seed}")
    assert f"begin as those of {tmp_path}/run-7" in out


def test_tied_weights(succeeds, corpus, tmp_path):
    tied = ["train", "--data", corpus, *TINY, *STILL, "--embedding-dim", "5"]
    tied += ["--options", '{"tied_embeddings": true}']
    succeeds(*tied, "--out", tmp_path / "a")
    out = succeeds(*tied, "--out", tmp_path / "b", "--seed", "7", "--start-from", tmp_path / "a")
    assert "as drawn" not in out
    assert begins_as(tmp_path / "a", tmp_path / "b", weights_of(tmp_path / "a"))


def test_run_that_was_stopped_before_its_first_checkpoint(run, corpus, tmp_path, monkeypatch):
    sizes = {"embedding_dim": 4, "hidden_dim": 5, "latent_dim": 2, "epochs": 1, "device": "cpu"}
    config = TrainConfig(data=str(corpus), learning_rate=1e-30, start_from=str(run), **sizes)

    def stop(line):
        raise KeyboardInterrupt

    new = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt):
        train_run(config, new, report=stop)
    assert not (new / "state" / "last.pt").exists()
    resume(new, report=lambda line: None)
    assert begins_as(run, new, weights_of(run))


def test_run_without_any_weight_alike_is_refused(run):
    pair = Pair(nn.Linear(2, 3), nn.Module(), {"model": "mine", "guide": "empty"})
    config = TrainConfig(start_from=str(run))
    with pytest.raises(
        UserError, match="none of its weights has the name and shape of one of mine"
    ):
        start_from(pair, config, load_tokenizer(read_run(run)))


def test_refused(check_refused, corpus, train, run, run_copy, new, tmp_path):
    check_refused("no_such is not a run", *train, "--start-from", "no_such")
    other = write_corpus(tmp_path / "other", train="a text of other words\n" * 20)
    check_refused("its vocabulary is another", *train, "--data", other, "--start-from", run)
    (run_copy / "model.safetensors").write_bytes(b"no weights")
    check_refused("model.safetensors is damaged", *train, "--start-from", run_copy)
    (run_copy / "model.safetensors").unlink()
    check_refused("has no model.safetensors", *train, "--start-from", run_copy)
    assert not new.exists()
