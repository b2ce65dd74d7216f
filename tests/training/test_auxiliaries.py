# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs with auxiliary losses: trained by the run's optimiser, logged apart, resumed, left out."""

import pytest
import torch
from safetensors import safe_open

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.training.procedures import AggressiveEncoder, PretrainedEncoder

from .procedure_runs import Killed, kill_before, make_trainer, rows_of, same, values_of

BOTH = {"bag_of_words": {"weight": 0.5, "hidden_dim": 5}, "length": 2.0}


def finish(path, kill_at=(), procedure=None, **settings):
    for step in (*kill_at, None):
        trainer = make_trainer(path, procedure and procedure(), auxiliaries=BOTH, **settings)
        state = trainer.folder.load_state()
        if state is not None:
            trainer.load_state_dict(state)
        if step is None:
            trainer.fit()
            return trainer
        kill_before(trainer, step)
        with pytest.raises(Killed):
            trainer.fit()
    raise AssertionError


@pytest.mark.parametrize(
    "procedure",
    [
        None,
        lambda: AggressiveEncoder(max_inner_steps=4, inner_window=2),
        lambda: PretrainedEncoder(pretrain_epochs=1),
    ],
)
def test_killed_and_resumed_run_is_the_undisturbed_one(tmp_path, procedure):
    left_alone = finish(tmp_path / "left alone", procedure=procedure)
    killed = finish(tmp_path / "killed", (5, 10), procedure)
    assert killed.folder.metrics.read_text() == left_alone.folder.metrics.read_text()
    assert same(values_of(killed.trained), values_of(left_alone.trained))
    untrained = make_trainer(tmp_path / "untrained", auxiliaries=BOTH)
    for name, value in values_of(untrained.objective.auxiliaries).items():
        assert not torch.equal(value, values_of(killed.objective.auxiliaries)[name]), name


def test_lines_of_metrics_have_them_apart(tmp_path):
    """The loss is the plain loss and the weighted losses; what is validated is without them."""
    trainer = finish(tmp_path / "run", kl_schedule="constant", epochs=1, log_every=2)
    for row in rows_of(trainer, "step"):
        added = 0.5 * row["auxiliary_bag_of_words"] + 2 * row["auxiliary_length"]
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["kl"] + added)
    (row,) = rows_of(trainer)
    assert row["train_auxiliary_length"] > 0
    assert not [name for name in row if name.startswith("valid_auxiliary")]
    assert row["valid_elbo"] == pytest.approx(row["valid_reconstruction"] + row["valid_kl"])


def test_weights_and_bounds_know_nothing_of_them(tmp_path):
    trainer = finish(tmp_path / "run", epochs=1)
    with safe_open(trainer.folder.weights, "pt") as file:
        assert {name.partition(".")[0] for name in file.keys()} == {"model", "guide"}
    plain = make_trainer(tmp_path / "plain", epochs=1)
    plain.modules.load_state_dict(trainer.modules.state_dict())
    results = [
        log_likelihood(
            each.model, each.guide, each.corpus.batches("test", 8, shuffle=False), 10, seed=2
        )
        for each in (trainer, plain)
    ]
    assert torch.equal(results[0].log_px, results[1].log_px)
    assert torch.equal(results[0].elbo, results[1].elbo)


def test_pair_begins_with_the_weights_that_it_has_without_them(tmp_path):
    plain, joined = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b", auxiliaries=BOTH)
    assert same(values_of(plain.modules), values_of(joined.modules))
