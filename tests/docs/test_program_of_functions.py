# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""docs/programs/function.py trains, resumes, is saved, scored and sampled."""

from pathlib import Path

import pyro
import pytest
import torch

from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.save import save_run
from pyro_textvae.runs.train import resume, train

FILE = Path(__file__).parents[2] / "docs" / "programs" / "function.py"
SETTINGS = {
    "data": "grammar",
    "num_sentences": 60,
    "model": f"{FILE}:model",
    "guide": f"{FILE}:guide",
    "embedding_dim": 4,
    "hidden_dim": 5,
    "latent_dim": 1,
    "embedding_dropout": 0.0,
    "output_dropout": 0.0,
    "device": "cpu",
}


def quiet(line):
    """Nothing is printed."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("function") / "run"
    config = TrainConfig(**SETTINGS, epochs=2, learning_rate=0.01)
    with pytest.MonkeyPatch.context() as patch:
        # That of every test, where its programs are remembered as the user's own.
        patch.setenv("PYRO_TEXTVAE_CONFIG", str(tmp_path_factory.getbasetemp() / "config"))
        train(config, path, report=quiet)
    return path


def test_statements_are_trained_saved_and_loaded(run):
    model, guide, _ = load_run(run)
    assert not pyro.get_param_store().keys()
    assert model.statements["prior_scale"].shape == (1,)
    assert model.statements["prior_scale"].item() != 0.0
    assert (guide.statements["weight"] - 0.1).abs().min() > 0


def test_score_is_that_of_quadrature(run):
    model, guide, _ = load_run(run)
    corpus = load_corpus("grammar", num_sentences=60)
    (batch,) = corpus.batches("test", shuffle=False)
    r = log_likelihood(model.double(), guide.double(), [batch], num_samples=600)
    scale = model.statements["prior_scale"].detach().exp()
    points = scale * torch.linspace(-9.0, 9.0, 401).double().unsqueeze(-1)
    with torch.no_grad():
        of_text = model.decoder(points.unsqueeze(1)).log_prob(batch["tokens"])
    of_prior = torch.distributions.Normal(0.0, scale).log_prob(points)
    exact = (of_text + of_prior).logsumexp(0) + (points[1] - points[0]).log()
    order = batch.indices.argsort()
    assert ((r.log_px - exact[order]) / r.standard_error).abs().max() < 4.5
    assert r.standard_error.max() < 0.1


@pytest.mark.parametrize("objective", ["iwae", "dreg", "wake_sleep"])
def test_it_trains_under_other_objectives(objective, tmp_path):
    config = TrainConfig(**SETTINGS, epochs=1, objective=objective, num_particles=3)
    train(config, tmp_path / "run", report=quiet)
    state = torch.load(tmp_path / "run" / "state" / "last.pt", weights_only=True)
    for moments in state["optimizer"]["state"].values():
        assert moments["exp_avg_sq"].sum() > 0


def test_resumed_run_is_the_undisturbed_one(run, tmp_path):
    config = TrainConfig(**SETTINGS, epochs=1, learning_rate=0.01)
    train(config, tmp_path / "run", report=quiet)
    resume(tmp_path / "run", epochs=2, report=quiet)
    resumed, whole = load_run(tmp_path / "run")[:2], load_run(run)[:2]
    for one, other in zip(resumed, whole, strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_commands_take_it(run, tmp_path, capsys):
    assert main(["evaluate", str(run), "--num-samples", "20"]) == 0
    for command in ("sample", "reconstruct", "interpolate"):
        assert main([command, str(run)]) == 0
    model, guide, tokenizer = load_run(run)
    corpus = load_corpus("grammar", num_sentences=60)
    save_run(tmp_path / "saved", model, guide, tokenizer, corpus=corpus)
    loaded = load_run(tmp_path / "saved")[0]
    assert torch.equal(loaded.statements["prior_scale"], model.statements["prior_scale"])
