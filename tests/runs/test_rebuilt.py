# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What can be trained can be saved and loaded, or it is refused before the first step."""

import sys

import pytest
import torch
from torch import nn

from pyro_textvae import load_corpus
from pyro_textvae.config.train import TrainConfig, TrainingConfig
from pyro_textvae.errors import UserError
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import LanguageModel
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import train
from pyro_textvae.training import Trainer

FILE = """\
import pyro
import torch
from pyro.nn import PyroModule
from pyro_textvae.nn import LSTMDecoder
from torch import nn


class Mine(PyroModule):
    def __init__(self, prior, decoder, latent_dim):
        super().__init__("model")
        self.prior, self.decoder = prior, decoder
        {init}

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            {forward}
            return pyro.sample("x", self.decoder(z), obs=tokens)

    {method}
"""
CASES = {
    "views of one storage": (
        "whole = torch.ones(2, latent_dim)\n"
        "        self.a, self.b = nn.Parameter(whole[0]), nn.Parameter(whole[1])",
        "z = z * self.a + self.b",
        "",
        r"no run can keep these weights: model\.a and model\.b are views of one storage",
    ),
    "lazy module": (
        "self.linear = nn.LazyLinear(latent_dim)",
        "z = self.linear(z)",
        "",
        r"could not be loaded: model\.linear\.\w+ has no shape before the first batch",
    ),
    "extra state": (
        "self.state = {'scale': 1.0}",
        "z = z * self.state['scale']",
        "def get_extra_state(self):\n        return self.state",
        r"no run can keep these weights: model\._extra_state is what get_extra_state gives, a dict",
    ),
    "complex": (
        "self.w = nn.Parameter(torch.ones(latent_dim, dtype=torch.complex64))",
        "z = z * self.w.real",
        "",
        r"no run can keep these weights: model\.w is complex",
    ),
    "sparse": (
        "self.w = nn.Parameter(torch.eye(latent_dim).to_sparse())",
        "z = z @ self.w.to_dense()",
        "",
        r"no run can keep these weights: model\.w is sparse",
    ),
    "parameter of the first batch": (
        "self.w = None",
        "if self.w is None:\n"
        "                self.w = nn.Parameter(torch.ones(z.shape[-1]))\n"
        "            z = z * self.w",
        "",
        r"model\.w is not there when the pair is built anew: make every parameter, .* in __init__",
    ),
    "draw outside of the weights": (
        "self.w = torch.randn(latent_dim)",
        "z = z * self.w",
        "",
        r"loaded as another pair: log p at 'x' of the model is -\d+\.\d+ now and -\d+\.\d+ then",
    ),
}
SMALL = {
    "data": "grammar",
    "num_sentences": 60,
    "embedding_dim": 4,
    "hidden_dim": 5,
    "latent_dim": 3,
    "epochs": 1,
    "device": "cpu",
}


def settings_of(folder, init, forward, method):
    path = folder / "mine.py"
    path.write_text(FILE.format(init=init, forward=forward, method=method))
    return TrainConfig(**SMALL, model=f"{path}:Mine", guide="gaussian")


@pytest.mark.parametrize("case", CASES)
def test_weights_that_could_not_be_saved_and_loaded_are_refused(tmp_path, case):
    *parts, message = CASES[case]
    with pytest.raises(UserError, match=message):
        train(settings_of(tmp_path, *parts), tmp_path / "run", report=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_extra_state_that_is_a_tensor_is_kept(tmp_path):
    config = settings_of(
        tmp_path,
        "self.scale = torch.tensor(2.0)",
        "z = z * self.scale",
        "def get_extra_state(self):\n        return self.scale\n\n"
        "    def set_extra_state(self, state):\n        self.scale = state",
    )
    train(config, tmp_path / "run", report=lambda line: None)
    assert load_run(tmp_path / "run")[0].scale == 2.0


def test_trying_it_leaves_no_trace_in_training(tmp_path, monkeypatch):
    config = TrainConfig(**SMALL)
    train(config, tmp_path / "tried", report=lambda line: None)
    module = sys.modules[train.__module__]
    monkeypatch.setattr(module, "check_rebuilt", lambda *given: None)
    train(config, tmp_path / "not", report=lambda line: None)
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (tmp_path / "tried" / name).read_bytes() == (tmp_path / "not" / name).read_bytes()


def test_trainer_refuses_weights_that_no_run_can_keep(tmp_path):
    corpus = load_corpus("grammar", num_sentences=60)
    weights = torch.ones(2, 3)

    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(weights[0]), nn.Parameter(weights[1])

    with pytest.raises(UserError, match=r"model\.decoder\.a and model\.decoder\.b are views"):
        Trainer(
            LanguageModel(Views()),
            EmptyGuide(),
            BetaELBO(),
            corpus,
            TrainingConfig(epochs=1),
            RunFolder(tmp_path / "run"),
        )
    assert not (tmp_path / "run").exists()
