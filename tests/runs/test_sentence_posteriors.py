# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs whose guide has a posterior for each sentence, and guides that are given the model."""

import math

import pytest
import torch

from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.infer import SentenceAutoGuide
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.save import save_run
from pyro_textvae.runs.train import train

SMALL = {
    "data": "grammar",
    "num_sentences": 60,
    "embedding_dim": 4,
    "hidden_dim": 5,
    "latent_dim": 2,
    "epochs": 1,
    "batch_size": 16,
    "device": "cpu",
}
ROWS = {"guide": "pyro_textvae.infer:SentenceAutoGuide", "procedure": "sentence_posteriors"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "run"
    train(TrainConfig(**SMALL, **ROWS), path, report=lambda line: None)
    return path


def test_rows_of_all_splits_are_saved_and_scored(run, capsys):
    model, guide, _ = load_run(run)
    corpus = load_corpus("grammar", num_sentences=60)
    different = {
        tuple(corpus.split(s)[i].tolist())
        for s in ("train", "valid", "test")
        for i in range(len(corpus.split(s)))
    }
    assert guide.num_sentences == len(different)
    assert guide.posteriors.locs_z.shape == (len(different), 2)
    r = log_likelihood(model, guide, corpus.batches("test", shuffle=False), 50)
    assert r.log_px.isfinite().all()
    assert main(["evaluate", str(run), "--num-samples", "20"]) == 0
    assert main(["reconstruct", str(run)]) == 0
    assert main(["reconstruct", str(run), "--text", "a dog"]) == 2
    assert "1 of the 1 sentences of a batch have no posterior" in capsys.readouterr().err


def test_procedure_moves_the_rows_of_the_other_splits(run):
    _, guide, _ = load_run(run)
    moved = (guide.posteriors.locs_z - guide.posteriors.locs_z.mode(0).values).abs().sum(1) > 0
    assert moved.all() or moved.float().mean() > 0.9


def test_without_the_procedure_it_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="take the procedure sentence_posteriors"):
        train(TrainConfig(**SMALL, guide=ROWS["guide"]), tmp_path / "run", report=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_a_guide_that_reads_has_nothing_for_the_procedure(tmp_path):
    with pytest.raises(UserError, match="GaussianGuide reads the sentences: leave the procedure"):
        train(
            TrainConfig(**SMALL, procedure=ROWS["procedure"]),
            tmp_path / "r",
            report=lambda line: None,
        )


def test_a_guide_of_rows_becomes_a_run(run, tmp_path):
    model, _, tokenizer = load_run(run)
    corpus = load_corpus("grammar", num_sentences=60)
    guide = SentenceAutoGuide(model, "AutoMultivariateNormal", corpus.batches("train"))
    save_run(tmp_path / "saved", model, guide, tokenizer, corpus=corpus)
    loaded = load_run(tmp_path / "saved")[1]
    assert torch.equal(loaded.keys, guide.keys)
    assert type(loaded.autoguide_of_one).__name__ == "AutoMultivariateNormal"


LADDER = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class Ladder(PyroModule):
    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.down = nn.Linear(2, latent_dim)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            zero = self.down.weight.new_zeros(2)
            top = pyro.sample("top", dist.Normal(zero, 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(self.down(top), 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class LadderGuide(PyroModule):
    def __init__(self, model, encoder, latent_dim):
        super().__init__("guide")
        self.model = model
        self.encoder = encoder
        self.up = nn.Linear(encoder.output_dim, 2)
        self.z = nn.Linear(encoder.output_dim, latent_dim)

    def forward(self, tokens):
        features = self.encoder(tokens)
        with pyro.plate("data", len(tokens)):
            top = pyro.sample("top", dist.Normal(self.up(features), 1.0).to_event(1))
            loc = 0.5 * (self.model.down(top) + self.z(features))
            pyro.sample("z", dist.Normal(loc, 0.7).to_event(1))
"""


@pytest.mark.parametrize("keeps", ["self.model = model", "self.__dict__['model'] = model"])
def test_a_guide_that_names_the_model_is_given_it(keeps, tmp_path):
    file = tmp_path / "ladder.py"
    file.write_text(LADDER.replace("self.model = model", keeps))
    programs = {"model": f"{file}:Ladder", "guide": f"{file}:LadderGuide"}
    train(TrainConfig(**SMALL, **programs), tmp_path / "run", report=lambda line: None)
    model, guide, _ = load_run(tmp_path / "run")
    assert guide.model is model
    file.unlink()
    corpus = load_corpus("grammar", num_sentences=60)
    r = log_likelihood(model, guide, corpus.batches("test"), 20)
    assert math.isfinite(r.nll)


def test_what_a_run_gives_a_guide_is_no_option(tmp_path):
    config = TrainConfig(**SMALL, **ROWS, options={"sentences": []})
    with pytest.raises(UserError, match="option 'sentences' is taken by no part"):
        train(config, tmp_path / "run", report=lambda line: None)
