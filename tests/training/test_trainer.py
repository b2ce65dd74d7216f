# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json

import pytest
import torch
from safetensors.torch import load_file

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import train
from pyro_textvae.training import TrainingError, trainer
from pyro_textvae.training.validation import VALIDATION_SEED, Validation

SMALL = {
    "data": "grammar",
    "num_sentences": 500,
    "embedding_dim": 6,
    "hidden_dim": 7,
    "latent_dim": 3,
    "epochs": 2,
    "batch_size": 16,
    "kl_epochs": 1.0,
    "device": "cpu",
}


FEW = {"num_sentences": 120}
"""Changes of SMALL where no number of a trained model counts."""


def quiet(line):
    del line


def metrics_of(folder, kind="epoch"):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


@pytest.mark.parametrize(
    ("objective", "optimizer"),
    [
        ("beta_elbo", "adam"),
        ("beta_elbo", "sgd"),
        ("pyro.infer:Trace_ELBO", "adam"),
        ("pyro.infer:TraceMeanField_ELBO", "adam"),
    ],
)
def test_every_objective_trains(tmp_path, objective, optimizer):
    rate = {"adam": 0.01, "sgd": 0.3}[optimizer]
    config = TrainConfig(
        **SMALL | {"objective": objective, "optimizer": optimizer, "learning_rate": rate}
    )
    progress = train(config, tmp_path / "run", report=quiet)
    first, last = metrics_of(tmp_path / "run")
    assert last["valid_elbo"] < first["valid_elbo"]
    assert progress.best_bound == last["valid_elbo"]
    assert ("kl_weight" in last) == (objective == "beta_elbo")


def test_loss_is_per_sentence_and_validation_unweighted(tmp_path):
    config = TrainConfig(**SMALL | {"kl_schedule": "constant", "kl_weight": 0.0, "epochs": 1})
    train(config, tmp_path / "run", report=quiet)
    (row,) = metrics_of(tmp_path / "run")
    assert row["train_loss"] == pytest.approx(row["train_reconstruction"], rel=1e-5)
    assert row["train_kl"] > 0
    model, guide, _ = load_run(tmp_path / "run")
    corpus = load_corpus("grammar", num_sentences=500)
    result = log_likelihood(
        model, guide, corpus.batches("valid", 16, shuffle=False), 1, VALIDATION_SEED
    )
    assert row["valid_elbo"] == pytest.approx(-result.elbo.mean().item(), rel=1e-9)
    assert row["valid_kl"] == pytest.approx(result.kl.mean().item(), rel=1e-9)


def test_mutual_information_of_the_validation_split_is_recorded(tmp_path):
    free = {"kl_schedule": "constant", "kl_weight": 0.0, "learning_rate": 0.03, "keep": "last"}
    train(TrainConfig(**SMALL | free), tmp_path / "run", report=quiet)
    row = metrics_of(tmp_path / "run")[-1]
    model, guide, _ = load_run(tmp_path / "run")
    corpus = load_corpus("grammar", num_sentences=500)
    batches = corpus.batches("valid", 16, shuffle=False)
    known = information(model, guide, batches, VALIDATION_SEED)
    # The same draws of the same weights, in the same process.
    assert row["valid_mutual_information"] == pytest.approx(known.mutual_information, rel=1e-9)
    assert row["valid_mutual_information"] <= known.mutual_information_ceiling


def test_language_model_has_no_mutual_information(tmp_path):
    config = TrainConfig(**SMALL | {"model": "language_model", "epochs": 1})
    train(config, tmp_path / "run", report=quiet)
    (row,) = metrics_of(tmp_path / "run")
    assert row["valid_mutual_information"] is None


@pytest.mark.parametrize("objective", ["dreg", "ciwae", "miwae", "renyi_iwae"])
def test_epochs_of_importance_weighted_objectives_are_told_by_their_own_bound(tmp_path, objective):
    options = {"num_groups": 1} if objective == "miwae" else {}
    config = TrainConfig(
        **SMALL | FEW | {"objective": objective, "num_particles": 4, "options": options}
    )
    lines = []
    progress = train(config, tmp_path / "run", report=lines.append)
    rows = metrics_of(tmp_path / "run")
    bounds = [row["valid_importance_weighted"] for row in rows]
    assert progress.best_bound == min(bounds)
    assert f"bound of 4 draws {bounds[-1]:8.3f}" in lines[-1]
    model, guide, _ = load_run(tmp_path / "run")
    batches = load_corpus("grammar", num_sentences=120).batches("valid", 16, shuffle=False)
    known = log_likelihood(model, guide, batches, 4, VALIDATION_SEED)
    assert min(bounds) == pytest.approx(-known.log_px.mean().item(), rel=1e-6)


def test_best_epoch_of_an_importance_weighted_objective_may_have_a_worse_elbo(
    tmp_path, monkeypatch
):
    measured = iter([Validation(8.0, 7.0, 1.0, 0.5, 6.0), Validation(9.0, 8.0, 1.0, 0.5, 5.0)])
    monkeypatch.setattr(trainer, "validate", lambda *arguments: next(measured))
    config = TrainConfig(**SMALL | FEW | {"objective": "iwae", "num_particles": 2})
    assert train(config, tmp_path / "run", report=quiet).best_bound == 5.0
    assert [row["best"] for row in metrics_of(tmp_path / "run")] == [True, True]


def test_other_objectives_have_no_second_bound(tmp_path):
    config = TrainConfig(**SMALL | FEW | {"num_particles": 3})
    train(config, tmp_path / "run", report=quiet)
    assert all("valid_importance_weighted" not in row for row in metrics_of(tmp_path / "run"))


def test_weights_kept_are_those_of_the_best_bound(tmp_path):
    """A learning rate that breaks the model after the first epochs must not cost them."""
    config = TrainConfig(**SMALL | {"learning_rate": 0.9, "epochs": 5, "patience": 9, "seed": 2})
    progress = train(config, tmp_path / "run", report=quiet)
    bounds = [row["valid_elbo"] for row in metrics_of(tmp_path / "run")]
    assert progress.best_bound == min(bounds)
    assert bounds[-1] > min(bounds)
    model, guide, _ = load_run(tmp_path / "run")
    corpus = load_corpus("grammar", num_sentences=500)
    result = log_likelihood(
        model, guide, corpus.batches("valid", 16, shuffle=False), 1, VALIDATION_SEED
    )
    assert -result.elbo.mean().item() == pytest.approx(min(bounds), rel=1e-9)


def test_weights_of_the_last_epoch_are_kept_on_request(tmp_path):
    config = TrainConfig(**SMALL | FEW | {"learning_rate": 0.9, "epochs": 5, "keep": "last"})
    train(config, tmp_path / "run", report=quiet)
    state = RunFolder(tmp_path / "run").load_state()
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(weights[name], state["modules"][name]) for name in weights)


def test_learning_rate_decays_and_training_stops_early(tmp_path):
    config = TrainConfig(
        **SMALL
        | FEW
        | {"learning_rate": 0.9, "epochs": 60, "patience": 1, "max_decays": 2, "kl_epochs": 0.01}
    )
    progress = train(config, tmp_path / "run", report=quiet)
    rates = [row["learning_rate"] for row in metrics_of(tmp_path / "run")]
    assert progress.finished
    assert progress.epoch < 60
    assert sorted(set(rates), reverse=True) == pytest.approx([0.9, 0.45, 0.225])


def test_patience_waits_for_the_kl_weight(tmp_path):
    config = TrainConfig(
        **SMALL | FEW | {"learning_rate": 0.9, "epochs": 4, "patience": 1, "kl_epochs": 9.0}
    )
    train(config, tmp_path / "run", report=quiet)
    assert {row["learning_rate"] for row in metrics_of(tmp_path / "run")} == {0.9}


BREAKS = '''
import torch
from pyro_textvae.models import SentenceVAE


class Breaks(SentenceVAE):
    """One of its parameters turns into NaN at the 45th call; two of them check the pair."""

    calls = 0

    def forward(self, tokens=None, *, size=None):
        if self.training and tokens is not None:
            self.calls += 1
            if self.calls == 45:
                with torch.no_grad():
                    self.decoder.initial_cell.bias[0] = float("nan")
        return super().forward(tokens, size=size)
'''


def test_a_loss_that_is_not_finite_stops_the_run_and_spares_what_was_saved(tmp_path):
    (tmp_path / "breaks.py").write_text(BREAKS)
    config = TrainConfig(**SMALL | {"model": str(tmp_path / "breaks.py"), "epochs": 3})
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(TrainingError) as caught:
        train(config, folder.path, report=quiet)
    message = str(caught.value)
    assert "at step 43 (epoch 2, batch 18, training sentences [" in message
    assert "model.decoder.initial_cell.bias" in message
    assert str(folder.state) in message
    state = folder.load_state()
    assert state["progress"]["step"] == 25
    for weights in (state["modules"], load_file(folder.weights)):
        assert all(value.isfinite().all() for value in weights.values())


def test_gradient_is_clipped_by_its_norm_over_all_parameters(tmp_path, monkeypatch):
    norms = []
    plain = torch.optim.Adam.step

    def recorded(optimizer, *arguments, **options):
        parameters = optimizer.param_groups[0]["params"]
        norms.append(torch.stack([p.grad.norm() for p in parameters]).norm().item())
        return plain(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    train(TrainConfig(**SMALL | {"clip_norm": 0.05, "epochs": 1}), tmp_path / "run", report=quiet)
    assert max(norms) == pytest.approx(0.05, rel=1e-3)


def test_token_budget_takes_the_place_of_the_batch_size(tmp_path):
    config = TrainConfig(**SMALL | {"batch_tokens": 100, "epochs": 1})
    progress = train(config, tmp_path / "run", report=quiet)
    corpus = load_corpus("grammar", num_sentences=500)
    assert progress.step == corpus.num_batches("train", max_tokens=100)


@pytest.mark.parametrize(
    ("truncate", "reported"),
    [(False, "1 sentences of more than 4 tokens left out"), (True, "1 sentences cut to 4 tokens")],
)
def test_sentences_that_were_dropped_or_cut_are_reported(tmp_path, truncate, reported):
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text("a cat\na dog\n" + "a a a a a\n" * (name == "train"))
    lines = []
    config = TrainConfig(
        **{k: v for k, v in SMALL.items() if k != "num_sentences"}
        | {"data": str(tmp_path), "max_length": 4, "truncate": truncate, "epochs": 1}
    )
    train(config, tmp_path / "run", report=lines.append)
    assert reported in lines[0]


def test_two_runs_in_one_process_do_not_touch_each_other(tmp_path):
    train(TrainConfig(**SMALL | FEW), tmp_path / "one", report=quiet)
    first = load_file(tmp_path / "one" / "model.safetensors")
    train(TrainConfig(**SMALL | FEW | {"seed": 5}), tmp_path / "other", report=quiet)
    train(TrainConfig(**SMALL | FEW), tmp_path / "again", report=quiet)
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)
