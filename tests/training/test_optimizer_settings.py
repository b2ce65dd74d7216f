# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""AdamW, warm-up, cosine and accumulation: what they do, and that a resumed run has them too."""

import pytest
import torch

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.errors import UserError
from pyro_textvae.training.accumulation import checkpoint_is_due
from pyro_textvae.training.optimizer import new_optimizer
from pyro_textvae.training.procedures import AggressiveEncoder
from pyro_textvae.training.progress import Progress

from .procedure_runs import Killed, kill_before, make_trainer, rows_of, same, values_of

FINE_TUNING = {
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "learning_rate_schedule": "cosine",
    "warmup_steps": 3,
    "accumulate_batches": 2,
    "epochs": 2,
}


def test_weight_decay_pulls_a_weight_that_has_no_gradient():
    weight = torch.nn.Parameter(torch.ones(()))
    weight.grad = torch.zeros(())
    new_optimizer(
        [weight], TrainingConfig(optimizer="adamw", weight_decay=0.1, learning_rate=0.5)
    ).step()
    assert weight.item() == pytest.approx(1 - 0.1 * 0.5)


def test_learning_rate_rises_and_falls_over_all_epochs(tmp_path):
    trainer = make_trainer(tmp_path, learning_rate_schedule="cosine", warmup_steps=3, epochs=2)
    rates, plain = [], trainer.update

    def update(batch, parameters=None, part=None):
        rates.append(trainer.learning_rate / trainer.config.learning_rate)
        return plain(batch, parameters, part)

    trainer.update = update
    trainer.fit()
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    after = torch.arange(len(rates) - 3) / (len(rates) - 3)
    assert rates[3:] == pytest.approx((0.5 * (1 + torch.cos(torch.pi * after))).tolist())


def test_batches_taken_together_are_one_batch(tmp_path):
    """SGD without dropout: two batches of two, and one of their four sentences."""
    plain = {"embedding_dropout": 0.0, "output_dropout": 0.0, "optimizer": "sgd", "epochs": 1}
    plain |= {"guide": "empty", "model": "language_model", "latent_dim": 0, "clip_norm": 0.01}
    one, two = (make_trainer(tmp_path / name, **plain) for name in ("one", "two"))
    two.config.accumulate_batches = 2
    rows = torch.arange(40).reshape(10, 4).numpy()
    one.plan = [rows[0]]
    two.plan = [rows[0][:3], rows[0][3:]]
    for trainer in (one, two):
        for place, chosen in enumerate(trainer.plan):
            trainer.progress.batch = place
            trainer._step(trainer.corpus.train.batch(chosen))
    for a, b in zip(values_of(one.model).values(), values_of(two.model).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    assert not same(values_of(one.model), values_of(make_trainer(tmp_path / "new", **plain).model))
    assert one.epoch_mean.means()["loss"] == pytest.approx(two.epoch_mean.means()["loss"])


@pytest.mark.parametrize("step", [4, 7])
def test_killed_and_resumed_it_is_the_undisturbed_run(tmp_path, step):
    whole = make_trainer(tmp_path / "whole", **FINE_TUNING)
    whole.fit()
    killed = make_trainer(tmp_path / "killed", **FINE_TUNING)
    kill_before(killed, step)
    with pytest.raises(Killed):
        killed.fit()
    resumed = make_trainer(tmp_path / "killed", **FINE_TUNING)
    resumed.load_state_dict(resumed.folder.load_state())
    assert resumed.progress.step % 2 == 0
    resumed.fit()
    assert same(values_of(whole.modules), values_of(resumed.modules))
    assert rows_of(whole) == rows_of(resumed)


@pytest.mark.parametrize(("count", "every"), [(1, 3), (2, 3), (4, 3), (3, 10)])
def test_checkpoints_fall_on_whole_steps_and_none_is_left_out(count, every):
    config = TrainingConfig(accumulate_batches=count, checkpoint_every=every)
    due = [
        place
        for place in range(1, 61)
        if checkpoint_is_due(Progress(batch=place, step=place), config)
    ]
    assert all(place % count == 0 for place in due)
    assert len(due) == len({-(-every * n // count) * count for n in range(1, 60 // every + 1)})


def test_procedure_that_steps_between_the_batches_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not go with aggressive_encoder"):
        make_trainer(tmp_path, AggressiveEncoder(), accumulate_batches=2)
