# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Blocks of Python on the pages that go on from something: they run where it is there."""

import re
from pathlib import Path

import pyro
import pytest
import torch

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import GRUDecoder, GRUEncoder
from pyro_textvae.priors import StandardNormal

DOCS = Path(__file__).parent.parent.parent / "docs"
SIZES = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}


def block(page, holding):
    text = (DOCS / f"{page}.md").read_text()
    (shown,) = [each for each in re.findall(r"```python\n(.*?)```", text, re.S) if holding in each]
    return shown


def test_objective_and_its_log_weights():
    pyro.set_rng_seed(0)
    decoder = GRUDecoder(**SIZES, latent_dim=3, max_length=7)
    names = {
        "model": SentenceVAE(prior=StandardNormal(3), decoder=decoder),
        "guide": GaussianGuide(GRUEncoder(**SIZES), latent_dim=3),
        "batch": {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])},
    }
    shown = block("objectives", "DReG, log_weights")
    exec(shown.replace("log_weights(model", "weights = log_weights(model"), names)
    assert names["weights"].shape == (8, 2)
    assert all(each.grad.abs().sum() > 0 for each in names["model"].parameters())


def test_decoder_that_is_given_a_memory():
    names = {
        "decoder": GRUDecoder(**SIZES, latent_dim=3, max_length=7, memory_dim=6),
        "states": torch.ones(2, 4, 6),
        "mask": torch.ones(2, 4, dtype=torch.bool),
        "ids": torch.full((2, 4), 5),
        "z": torch.ones(8, 2, 3),
    }
    shown = block("decoders-and-encoders", "import Context, Memory")
    exec(shown.replace("decoder(z, memory)", "x = decoder(z, memory)"), names)
    assert names["x"].batch_shape == (8, 2)


@pytest.mark.slow
def test_figures_callbacks_and_a_pipeline(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path))
    small = "latent_dim=3, epochs=1, embedding_dim=4, hidden_dim=5"
    names = {}
    first = block("python", "import TextVAE\n\nwords")
    exec(first.replace("latent_dim=8, epochs=15", small), names)
    shown = block("python", "import plots")
    names["figures"] = []
    exec(re.sub(r"^(plots\..*?)(  #.*)?$", r"figures += [\1]", shown, flags=re.M), names)
    assert len(names["figures"]) == 6
    capsys.readouterr()
    exec(block("python", "class Samples").replace(', "tensorboard"', ""), names)
    assert re.search(r"^\d+\.\d+$", capsys.readouterr().out, re.M)
    assert (names["vae"].folder.path / "metrics.csv").exists()
    labels = [sentence.startswith("the cat") for sentence in names["sentences"]]
    names["labels"] = labels
    shown = block("python", "make_pipeline").replace("latent_dim=8, epochs=5", small)
    exec(shown.replace("make_pipeline(Text", "pipeline = make_pipeline(Text"), names)
    assert names["pipeline"].score(names["sentences"], labels) > 0.5


@pytest.mark.slow
def test_chinese_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path))
    exec(block("../README.zh", "import TextVAE").replace("epochs=10", "epochs=1"), {})
    assert "tensor" in capsys.readouterr().out
