# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Steps that nobody waits for, as on a GPU; here most of them on the CPU, by a switch."""

import math

import pyro
import pytest
import torch
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.training import Procedure, TrainingError
from pyro_textvae.training.optimizer import load_optimizer
from pyro_textvae.training.procedures import AggressiveEncoder
from pyro_textvae.training.update import Updates

from ..waits import Waits
from .procedure_runs import BATCHES, Killed, kill_before, make_trainer, rows_of, same, values_of


def defer(trainer):
    """The trainer, with steps as on a GPU."""
    trainer.updates = Updates(
        trainer.modules, trainer.parameters, trainer.config, trainer.folder.state, deferred=True
    )
    return trainer


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "sgd"}, {"optimizer": "adamw", "accumulate_batches": 3}], ids=str
)
def test_deferred_steps_are_the_checked_ones_bit_for_bit(tmp_path, changes):
    """Sums on the device are float64, as the host's are, so metrics are equal too."""
    settings = {"epochs": 2} | changes
    checked = make_trainer(tmp_path / "checked", **settings)
    checked.fit()
    deferred = defer(make_trainer(tmp_path / "deferred", **settings))
    deferred.fit()
    assert deferred.folder.metrics.read_text() == checked.folder.metrics.read_text()
    assert len(rows_of(deferred, "step")) == 2
    assert same(values_of(deferred.modules), values_of(checked.modules))


def test_deferred_inner_loop_is_the_checked_one(tmp_path):
    found = []
    for name, change in (("checked", lambda trainer: trainer), ("deferred", defer)):
        procedure = AggressiveEncoder(max_inner_steps=7, inner_window=2)
        trainer = change(make_trainer(tmp_path / name, procedure, epochs=1))
        trainer.fit()
        found.append((procedure, values_of(trainer.modules)))
    assert found[0][0].state_dict().keys() == found[1][0].state_dict().keys()
    assert torch.equal(found[0][0].generator.get_state(), found[1][0].generator.get_state())
    assert same(found[0][1], found[1][1])


def test_deferred_run_killed_and_resumed_is_the_undisturbed_one(tmp_path):
    left_alone = make_trainer(tmp_path / "left alone", epochs=2, log_every=2)
    left_alone.fit()
    killed = defer(make_trainer(tmp_path / "killed", epochs=2, log_every=2))
    kill_before(killed, 5)
    with pytest.raises(Killed):
        killed.fit()
    resumed = defer(make_trainer(tmp_path / "killed", epochs=2, log_every=2))
    resumed.load_state_dict(resumed.folder.load_state())
    assert resumed.progress.step == BATCHES
    resumed.fit()
    assert resumed.folder.metrics.read_text() == left_alone.folder.metrics.read_text()
    assert same(values_of(resumed.modules), values_of(left_alone.modules))


def break_encoder(trainer, when, how):
    """Let ``how`` spoil the encoder's features at every batch of which ``when(tokens)`` holds."""

    def spoil(module, inputs, features):
        return how(features) if module.training and when(*inputs) else features

    trainer.guide.encoder.register_forward_hook(spoil)


def spoil_value(features):
    return features * math.nan


def spoil_gradient(features):
    spoiled = features.view_as(features)
    spoiled.register_hook(lambda gradient: gradient * math.inf)
    return spoiled


def batch_at(trainer, epoch, place):
    plan = trainer.corpus.plan("train", batch_size=16, seed=0, epoch=epoch)
    return trainer.corpus.train.batch(plan[place])


BREAKS = {"loss": (spoil_value, "loss nan"), "gradient": (spoil_gradient, "loss ")}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("kind", BREAKS)
def test_broken_step_moves_nothing_then_or_later_and_is_named(tmp_path, kind, optimizer):
    """Step 5 is broken, the first of its epoch, and is read at step 8, the last of it."""
    settings = {"log_every": 100, "checkpoint_every": 100, "optimizer": optimizer, "epochs": 2}
    before = make_trainer(tmp_path / "before", **settings)
    kill_before(before, 4)
    with pytest.raises(Killed):
        before.fit()
    trainer = defer(make_trainer(tmp_path / "broken", **settings))
    broken = batch_at(trainer, 1, 0)
    how, loss = BREAKS[kind]
    break_encoder(trainer, lambda tokens: torch.equal(tokens, broken["tokens"]), how)
    with pytest.raises(TrainingError) as caught:
        trainer.fit()
    message = str(caught.value)
    assert message.startswith(loss)
    assert f"at step 5 (epoch 2, batch 1, training sentences {broken.indices.tolist()}" in message
    first = {"loss": "model.decoder.embedding.weight", "gradient": "guide.encoder.embedding.weight"}
    assert f"the gradient of {first[kind]};" in message
    assert trainer.progress.step == 8
    assert same(values_of(trainer.modules), values_of(before.modules))
    if optimizer == "adam":
        state = trainer.optimizer.state
        assert {int(state[p]["step"]) for p in trainer.parameters} == {4}
    saved = trainer.folder.load_state()
    assert saved["progress"]["step"] == 4
    assert all(value.isfinite().all() for value in saved["modules"].values())
    assert math.isfinite(saved["log_mean"]["sums"]["loss"])
    assert rows_of(trainer, "step") == []


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("how", [lambda trainer: trainer, defer], ids=["checked", "deferred"])
def test_broken_batch_of_several_moves_nothing_and_is_named(tmp_path, how, place):
    """Step 5 or 6 is broken, of the two that are taken together."""
    settings = {"accumulate_batches": 2, "epochs": 2}
    before = make_trainer(tmp_path / "before", **settings)
    kill_before(before, 4)
    with pytest.raises(Killed):
        before.fit()
    trainer = how(make_trainer(tmp_path / "broken", **settings))
    broken = batch_at(trainer, 1, place)
    break_encoder(trainer, lambda tokens: torch.equal(tokens, broken["tokens"]), spoil_gradient)
    with pytest.raises(TrainingError, match=rf"at step {5 + place} .*of guide.encoder.embedding"):
        trainer.fit()
    assert same(values_of(trainer.modules), values_of(before.modules))


def test_no_checkpoint_is_written_between_a_broken_step_and_its_error(tmp_path):
    trainer = defer(make_trainer(tmp_path, log_every=100, checkpoint_every=3))
    broken = batch_at(trainer, 0, 1)
    break_encoder(trainer, lambda tokens: torch.equal(tokens, broken["tokens"]), spoil_value)
    with pytest.raises(TrainingError, match=r"at step 2 \(epoch 1, batch 2,"):
        trainer.fit()
    assert trainer.progress.step == 3
    assert trainer.folder.load_state()["progress"]["step"] == 0
    with pytest.raises(TrainingError, match="at step 2 "):
        trainer.save()
    assert trainer.folder.load_state()["progress"]["step"] == 0
    # With the cause removed, the trainer itself can go on from what was saved.
    trainer.guide.encoder._forward_hooks.clear()
    trainer.load_state_dict(trainer.folder.load_state())
    trainer.fit()
    assert trainer.progress.epoch == trainer.config.epochs


def test_broken_step_of_an_inner_loop_is_read_at_the_end_of_its_window(tmp_path):
    procedure = AggressiveEncoder(max_inner_steps=9, inner_window=3)
    trainer = defer(make_trainer(tmp_path, procedure, log_every=100))
    calls = []
    break_encoder(trainer, lambda tokens: calls.append(tokens) or len(calls) > 1, spoil_value)
    with pytest.raises(TrainingError, match=r"at step 1 \(epoch 1, batch 1,"):
        trainer.fit()
    # Three steps, and the second of them once more for the parameter's name.
    assert len(calls) == 4
    assert torch.equal(calls[3], calls[1])


def test_a_step_that_is_repeated_draws_what_it_drew(tmp_path):
    """It is broken by a draw: with other ones its gradient would be found in order."""
    drawn = []

    def record(tokens):
        drawn.append(torch.rand(()))
        return False

    plain = defer(make_trainer(tmp_path / "plain", epochs=1, log_every=100))
    break_encoder(plain, record, spoil_gradient)
    plain.fit()
    assert len(drawn) == BATCHES
    trainer = defer(make_trainer(tmp_path / "broken", epochs=1, log_every=100))
    break_encoder(trainer, lambda tokens: torch.rand(()) == drawn[1], spoil_gradient)
    with pytest.raises(TrainingError, match="the gradient of guide.encoder.embedding.weight;"):
        trainer.fit()


def test_optimiser_of_a_checkpoint_that_was_not_fused_can_be_held_back(tmp_path):
    trainer = defer(make_trainer(tmp_path, optimizer="sgd"))
    plain = torch.optim.SGD(trainer.parameters, lr=0.25)
    load_optimizer(trainer.optimizer, plain.state_dict(), list(range(len(trainer.parameters))))
    assert trainer.learning_rate == 0.25
    trainer.optimizer.found_inf.fill_(1.0)
    before = values_of(trainer.modules)
    for parameter in trainer.parameters:
        parameter.grad = torch.ones_like(parameter)
    trainer.optimizer.step()
    assert same(values_of(trainer.modules), before)


def test_validation_is_off_in_every_step_and_on_again_afterwards(tmp_path):
    class Look(Procedure):
        seen = ()

        def before_step(self, trainer, batch):
            normal = pyro.distributions.Normal(0.0, 1.0)
            own = trainer.model.decoder(torch.zeros(1, 3))
            pyro_checks = pyro.poutine.util.is_validation_enabled()
            self.seen += ((normal._validate_args, own._validate_args, pyro_checks),)

    procedure = Look()
    make_trainer(tmp_path, procedure, epochs=1).fit()
    assert set(procedure.seen) == {(False, False, False)}
    assert pyro.distributions.Normal(0.0, 1.0)._validate_args


class EveryToken(Decoder):
    """Scores padding too, as on a GPU; on the CPU the words are counted instead."""

    @staticmethod
    def _padding_is_scored(hidden):
        return True


def waits_of_two_steps(trainer, *, deferred=True):
    """What the host would wait for in two steps, were the trainer's decoder on a GPU."""
    plain = type(trainer.model.decoder)
    trainer.model.decoder.__class__ = type("EveryToken", (EveryToken, plain), {})
    trainer = defer(trainer) if deferred else trainer
    trainer.loss_module.train()
    batch = batch_at(trainer, 0, 0)
    # Without validation, whose checks look at values.
    with pyro.validation_enabled(False), Waits() as waits:
        trainer._step(batch)
        trainer._step(batch)
    return waits.found


@pytest.mark.parametrize("settings", [{}, {"optimizer": "sgd"}, {"precision": "bfloat16"}], ids=str)
def test_deferred_step_waits_for_nothing(tmp_path, settings):
    assert waits_of_two_steps(make_trainer(tmp_path, **settings)) == []


def test_checked_step_waits_for_its_numbers(tmp_path):
    """Loss, norm, reconstruction and KL of both steps: the test above would see one."""
    assert waits_of_two_steps(make_trainer(tmp_path), deferred=False) == ["_local_scalar_dense"] * 8


@pytest.mark.parametrize(
    "part",
    [(k, name) for k in ("encoder", "decoder") for name in zoo.names(f"{k}s")],
    ids=lambda part: " ".join(part),
)
def test_no_network_of_the_catalogue_waits(tmp_path, part):
    assert waits_of_two_steps(make_trainer(tmp_path, **dict([part]), hidden_dim=8)) == []


def test_optimiser_of_a_checkpoint_finds_its_parameters_by_name(tmp_path):
    """One from before names were kept, of networks that were built in another order."""
    trainer = make_trainer(tmp_path)
    trainer.loss_module.train()
    trainer._step(batch_at(trainer, 0, 0))
    state = trainer.state_dict()
    names = state.pop("parameters")
    moments = {name: state["optimizer"]["state"][n]["exp_avg"] for n, name in enumerate(names)}
    turned = list(reversed(range(len(names))))
    state["modules"] = {name: state["modules"][name] for name in reversed(state["modules"])}
    state["optimizer"]["state"] = {
        new: state["optimizer"]["state"][old] for new, old in enumerate(turned)
    }
    other = make_trainer(tmp_path)
    other.load_state_dict(state)
    for name, parameter in other.modules.named_parameters():
        torch.testing.assert_close(
            other.optimizer.state[parameter]["exp_avg"], moments[name], rtol=0, atol=0
        )


def test_moments_of_another_shape_are_refused(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.loss_module.train()
    trainer._step(batch_at(trainer, 0, 0))
    state = trainer.state_dict()
    state["parameters"] = state["parameters"][::-1]
    with pytest.raises(ValueError, match=r"exp_avg of parameter \d+ has shape"):
        make_trainer(tmp_path).load_state_dict(state)


def test_networks_that_no_setting_reaches_refuse_it(tmp_path):
    config = TrainConfig(precision="bfloat16")
    with pytest.raises(UserError, match="would do nothing: derive your networks from Decoder"):
        Updates(nn.Linear(2, 2), [], config, tmp_path)


@pytest.mark.parametrize("objective", zoo.names("objectives"))
def test_no_objective_of_the_catalogue_waits(tmp_path, objective):
    settings = {"objective": objective, "num_particles": 4}
    if objective == "semi_amortised_elbo":
        settings["options"] = {"num_steps": 2}
    assert waits_of_two_steps(make_trainer(tmp_path, **settings)) == []


def test_scores_of_padding_count_for_nothing(tmp_path):
    """What a GPU computes is what the CPU does, in value and gradient."""
    decoder = make_trainer(tmp_path).model.decoder.double().eval()
    tokens = torch.tensor([[5, 4, 2, 0], [6, 2, 0, 0]])
    z = torch.randn(3, 2, decoder.latent_dim, dtype=torch.float64)
    found = []
    for kind in (type(decoder), type("EveryToken", (EveryToken, type(decoder)), {})):
        decoder.__class__ = kind
        score = decoder(z).log_prob(tokens)
        found.append([score, *torch.autograd.grad(score.sum(), list(decoder.parameters()))])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


class NoWaiting(Procedure):
    """Lets any wait for the GPU be an error from the sixth step to the fifteenth."""

    def before_step(self, trainer, batch):
        mode = {5: "error", 15: "default"}.get(trainer.progress.step)
        if mode is not None:
            torch.cuda.set_sync_debug_mode(mode)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("settings", [{}, {"precision": "bfloat16"}, {"optimizer": "sgd"}], ids=str)
def test_steps_on_a_gpu_wait_for_nothing(tmp_path, settings):
    quiet = {"epochs": 1, "batch_size": 4, "log_every": 1000, "checkpoint_every": 1000}
    trainer = make_trainer(tmp_path, NoWaiting(), device="cuda", **quiet, **settings)
    try:
        trainer.fit()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.progress.step > 15
    assert math.isfinite(rows_of(trainer)[0]["train_loss"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_broken_step_on_a_gpu_moves_nothing_and_is_named(tmp_path):
    trainer = make_trainer(tmp_path, device="cuda", log_every=100)
    broken = batch_at(trainer, 0, 1)
    tokens = broken["tokens"].cuda()
    break_encoder(trainer, lambda given: torch.equal(given, tokens), spoil_gradient)
    with pytest.raises(TrainingError, match=r"at step 2 \(epoch 1, batch 2,") as caught:
        trainer.fit()
    assert str(broken.indices.tolist()) in str(caught.value)
    assert "the gradient of guide.encoder.embedding.weight;" in str(caught.value)
    state = trainer.optimizer.state
    assert {int(state[p]["step"]) for p in trainer.parameters} == {1}
