# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""docs/programs/autoguide.py trains, resumes, is saved, scored and sampled."""

import math
from pathlib import Path

import pytest
import torch

from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import resume, train

FILE = Path(__file__).parents[2] / "docs" / "programs" / "autoguide.py"
SETTINGS = {
    "data": "grammar",
    "num_sentences": 60,
    "model": f"{FILE}:IntensityVAE",
    "guide": f"{FILE}:Posteriors",
    "procedure": "sentence_posteriors",
    "embedding_dim": 4,
    "hidden_dim": 5,
    "latent_dim": 1,
    "embedding_dropout": 0.0,
    "output_dropout": 0.0,
    "learning_rate": 0.05,
    "device": "cpu",
}


def quiet(line):
    """Nothing is printed."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("autoguide") / "run"
    options = {"posterior_epochs": 15}
    config = TrainConfig(**SETTINGS, epochs=2, options=options)
    with pytest.MonkeyPatch.context() as patch:
        # That of every test, where its programs are remembered as the user's own.
        patch.setenv("PYRO_TEXTVAE_CONFIG", str(tmp_path_factory.getbasetemp() / "config"))
        train(config, path, report=quiet)
    return path


def test_score_is_that_of_quadrature(run):
    model, guide, _ = load_run(run)
    corpus = load_corpus("grammar", num_sentences=60)
    (batch,) = corpus.batches("test", shuffle=False)
    r = log_likelihood(model.double(), guide.double(), [batch], num_samples=600)
    # s z for z ~ N(0, 1) and log s ~ N(0, 1/2), each on a grid.
    points = torch.linspace(-7.0, 7.0, 113).double()
    z, log_s = torch.meshgrid(points, 0.5 * points, indexing="ij")
    with torch.no_grad():
        of_text = model.decoder((z * log_s.exp()).reshape(-1, 1, 1)).log_prob(batch["tokens"])
    log_density = -0.5 * (z.square() + (2 * log_s).square()).flatten() - math.log(2 * math.pi)
    exact = (of_text + log_density.unsqueeze(-1)).logsumexp(0) + 2 * (points[1] - points[0]).log()
    order = batch.indices.argsort()
    assert ((r.log_px - exact[order]) / r.standard_error).abs().max() < 4.5
    assert r.standard_error.max() < 0.3


@pytest.mark.parametrize("objective", ["iwae", "dreg", "wake_sleep"])
def test_it_trains_under_other_objectives(objective, tmp_path):
    config = TrainConfig(**SETTINGS, epochs=1, objective=objective, num_particles=3)
    train(config, tmp_path / "run", report=quiet)
    state = torch.load(tmp_path / "run" / "state" / "last.pt", weights_only=True)
    for moments in state["optimizer"]["state"].values():
        assert moments["exp_avg_sq"].sum() > 0


def test_resumed_run_is_the_undisturbed_one(tmp_path):
    for name, epochs in (("whole", 2), ("cut", 1)):
        train(TrainConfig(**SETTINGS, epochs=epochs), tmp_path / name, report=quiet)
    resume(tmp_path / "cut", epochs=2, report=quiet)
    resumed, whole = load_run(tmp_path / "cut")[:2], load_run(tmp_path / "whole")[:2]
    for one, other in zip(resumed, whole, strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_commands_take_it(run):
    assert main(["evaluate", str(run), "--num-samples", "20"]) == 0
    for command in ("sample", "reconstruct", "interpolate"):
        assert main([command, str(run)]) == 0
