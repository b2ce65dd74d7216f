# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.errors import UserError
from pyro_textvae.training import Procedure
from pyro_textvae.training.procedures import PretrainedEncoder

from .procedure_runs import BATCHES, Killed, kill_before, make_trainer, rows_of, same, values_of


class Watched(PretrainedEncoder):
    """Keeps what it finds before and after the last epoch of the autoencoder."""

    def before_training(self, trainer):
        super().before_training(trainer)
        self.first = values_of(trainer.model)

    def after_epoch(self, trainer, validation):
        if trainer.progress.epoch == self.pretrain_epochs:
            self.autoencoder = values_of(trainer.model), values_of(trainer.guide)
            self.old_optimizer = trainer.optimizer
        super().after_epoch(trainer, validation)
        if trainer.progress.epoch == self.pretrain_epochs:
            self.begun = values_of(trainer.model), values_of(trainer.guide)
            self.optimizer_state = trainer.optimizer.state_dict()
            self.begun_step = trainer.objective.step
            self.begun_progress = trainer.progress.best_bound, trainer.progress.bad_epochs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two epochs of autoencoder and two of the objective, four at most without a better bound."""
    path = tmp_path_factory.mktemp("pretrained")
    trainer = make_trainer(path, Watched(2), epochs=4, log_every=1)
    trainer.fit()
    return trainer


def test_first_epochs_are_those_of_a_bound_without_kl(tmp_path, run):
    free = {"kl_schedule": "constant", "kl_weight": 0.0, "keep": "last"}
    plain = make_trainer(tmp_path, Procedure(), **free, epochs=2, log_every=1)
    plain.fit()
    model, guide = run.procedure.autoencoder
    assert same(model, values_of(plain.model))
    assert same(guide, values_of(plain.guide))
    of_steps = [{k: row[k] for k in ("loss", "kl_weight")} for row in rows_of(plain, "step")]
    ours = [{k: row[k] for k in ("loss", "kl_weight")} for row in rows_of(run, "step")]
    assert ours[: 2 * BATCHES] == of_steps
    assert {row["kl_weight"] for row in of_steps} == {0.0}


def test_then_the_model_is_as_at_the_start_and_the_guide_is_kept(run):
    (model, guide), (trained_model, trained_guide) = run.procedure.begun, run.procedure.autoencoder
    assert same(model, run.procedure.first)
    assert not any(torch.equal(model[name], trained_model[name]) for name in model)
    assert same(guide, trained_guide)


def test_optimiser_best_bound_and_schedule_begin_anew(run):
    assert run.procedure.old_optimizer is not run.optimizer
    assert run.procedure.optimizer_state["state"] == {}
    assert run.procedure.begun_step == 0
    assert run.procedure.begun_progress == (float("inf"), 0)
    assert {int(run.optimizer.state[p]["step"]) for p in run.parameters} == {2 * BATCHES}
    assert run.objective.step == 2 * BATCHES
    assert run.progress.step == 4 * BATCHES
    rows = rows_of(run)
    assert [row["pretraining"] for row in rows] == [True, True, False, False]
    assert rows[2]["best"]
    # A line tells the weight of the step that comes next.
    weights = [row["kl_weight"] for row in rows]
    assert weights == [0.0, 0.0, run.objective.schedule(BATCHES), 1.0]
    steps = rows_of(run, "step")
    assert steps[2 * BATCHES]["kl_weight"] == run.objective.schedule(1)


def test_means_of_steps_begin_anew_with_the_objective(tmp_path):
    """Steps of the autoencoder that no line has told yet are no part of the next one's means."""
    trainer = make_trainer(tmp_path, PretrainedEncoder(1), epochs=2, log_every=10**6)
    trainer.log_mean.add(3, loss=6.0)
    trainer.begin_anew()
    trainer.log_mean.add(1, loss=5.0)
    assert trainer.log_mean.means() == {"loss": 5.0}


def test_model_goes_back_in_place(tmp_path):
    """Optimiser, loss and whoever else holds the parameters must go on holding them."""
    trainer = make_trainer(tmp_path, PretrainedEncoder(1), epochs=2)
    places = [id(parameter) for parameter in trainer.model.parameters()]
    trainer.fit()
    assert [id(parameter) for parameter in trainer.model.parameters()] == places


def test_epochs_of_the_autoencoder_do_not_wear_out_the_patience(tmp_path):
    """The first epoch with a worse bound would be the last, if it counted."""
    settings = {"patience": 1, "max_decays": 0, "kl_schedule": "constant", "learning_rate": 0.1}
    trainer = make_trainer(tmp_path, PretrainedEncoder(5), epochs=6, **settings)
    trainer.fit()
    rows = rows_of(trainer)
    bounds = [row["valid_elbo"] for row in rows[:5]]
    assert min(bounds[:-1]) < bounds[-1]
    assert len(rows) == 6


def test_patience_waits_for_the_schedule_that_starts_late(tmp_path):
    """At this learning rate the bound is soon worse; only once the weight is up, it counts."""
    settings = {"patience": 1, "max_decays": 9, "kl_epochs": 2.0, "learning_rate": 0.5}
    trainer = make_trainer(tmp_path, PretrainedEncoder(2), epochs=7, **settings)
    trainer.fit()
    rows = rows_of(trainer)
    worse = [row["epoch"] for row in rows if not row["best"]]
    assert worse[:3] == [2, 4, 5]
    # Epoch 2 is the autoencoder's, and the weight was still going up in epoch 4.
    assert [row["learning_rate"] for row in rows[:6]] == [0.5] * 5 + [0.25]


def test_initial_model_is_in_checkpoints_as_long_as_it_is_needed(tmp_path, run):
    trainer = make_trainer(tmp_path, PretrainedEncoder(2))
    kill_before(trainer, BATCHES + 3)
    initial = values_of(trainer.model)
    with pytest.raises(Killed):
        trainer.fit()
    state = trainer.folder.load_state()
    assert state["progress"]["batch"] > 0
    assert same(state["procedure"]["initial_model"], initial)
    assert run.folder.load_state()["procedure"]["initial_model"] is None


def test_from_the_zoo_by_name():
    procedure = zoo.build(zoo.load("procedures", "pretrained_encoder"), {"pretrain_epochs": 4})
    assert (procedure.name, procedure.pretrain_epochs) == ("pretrained_encoder", 4)
    with pytest.raises(UserError, match="pretrain_epochs must be at least 1, got 0"):
        zoo.build(PretrainedEncoder, {"pretrain_epochs": 0})


def test_no_epoch_left_for_the_objective_is_refused(tmp_path):
    with pytest.raises(UserError, match="pretrain_epochs=3 leaves none of 3 epochs"):
        make_trainer(tmp_path, PretrainedEncoder(3), epochs=3)


def test_model_without_latents_is_refused(tmp_path):
    with pytest.raises(UserError, match="LanguageModel has no latents"):
        make_trainer(tmp_path, PretrainedEncoder(1), model="language_model")


DISCRETE = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule


class Model(PyroModule):
    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.places = torch.nn.Embedding(4, latent_dim)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = pyro.sample("y", dist.Categorical(torch.ones(4)))
            return pyro.sample("x", self.decoder(self.places(y)), obs=tokens)


class Guide(PyroModule):
    def __init__(self):
        super().__init__("guide")
        self.logits = torch.nn.Parameter(torch.zeros(4))

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", len(tokens)):
            pyro.sample("y", dist.Categorical(logits=self.logits))
"""


def test_latent_without_a_path_for_the_gradient_is_refused(tmp_path):
    (tmp_path / "discrete.py").write_text(DISCRETE)
    pair = {"model": f"{tmp_path}/discrete.py:Model", "guide": f"{tmp_path}/discrete.py:Guide"}
    with pytest.raises(UserError, match="the guide of 'y' is not reparameterised"):
        make_trainer(tmp_path, PretrainedEncoder(1), **pair)


def test_guide_without_parameters_is_refused(tmp_path):
    fixed = DISCRETE.replace("torch.nn.Parameter(torch.zeros(4))", "torch.zeros(4)")
    (tmp_path / "fixed.py").write_text(fixed)
    pair = {"model": f"{tmp_path}/fixed.py:Model", "guide": f"{tmp_path}/fixed.py:Guide"}
    with pytest.raises(UserError, match="the guide Guide has no parameters for"):
        make_trainer(tmp_path, PretrainedEncoder(1), **pair)
