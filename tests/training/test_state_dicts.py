# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Each part of training has a state of its own; the trainer's is made of them."""

import math

import pytest
import torch

from pyro_textvae.config import TrainingConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.training import Progress, Trainer
from pyro_textvae.training.metrics import MetricsFile
from pyro_textvae.training.optimizer import OPTIMIZERS, new_optimizer

from .procedure_runs import make_trainer

# In this order and no other are checkpoints of every version.
KEYS = (
    "modules optimizer parameters objective procedure progress epoch_mean log_mean metrics_size "
    "timing_size random_state"
).split()


def test_progress_goes_on():
    progress = Progress(epoch=2, step=9, best_bound=4.5)
    taken = Progress()
    taken.load_state_dict(progress.state_dict())
    assert taken == progress
    assert Progress().state_dict()["best_bound"] == math.inf
    taken.load_state_dict({"epoch": 2, "best_elbo": 4.5})  # what earlier versions wrote
    assert taken == Progress(epoch=2, best_bound=4.5)
    with pytest.raises(TypeError, match="stage"):
        taken.load_state_dict({"stage": 1})


def test_metrics_file_forgets_later_lines(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    before = file.state_dict()
    file.append(step=1)
    state = file.state_dict()
    file.append(step=2)
    file.load_state_dict(state)
    assert file.path.read_text() == '{"step": 1}\n'
    file.load_state_dict(before)
    assert file.path.read_text() == ""


def test_updates_name_their_parameters(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.model.decoder.embedding.weight.requires_grad_(False)
    frozen = Trainer(
        trainer.model, trainer.guide, BetaELBO(), trainer.corpus, trainer.config, trainer.folder
    )
    names = frozen.updates.state_dict()["parameters"]
    assert "model.decoder.embedding.weight" not in names
    assert len(names) == len(frozen.parameters)
    with pytest.raises(ValueError, match="embedding"):
        trainer.updates.load_state_dict(frozen.updates.state_dict())


def test_checkpoint_has_the_keys_of_every_version(tmp_path):
    trainer = make_trainer(tmp_path)
    assert list(trainer.state_dict()) == KEYS
    trainer.save()
    assert list(trainer.folder.load_state()) == KEYS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_the_settings_is_its_own(name):
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = new_optimizer([weight], TrainingConfig(optimizer=name, learning_rate=0.5))
    assert type(optimizer).__name__.lower() == name
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_trainer_from_python_takes_the_settings_of_training_alone(tmp_path):
    """Into a folder that is not there."""
    corpus = load_corpus("grammar", num_sentences=75)
    sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 4, "hidden_dim": 5}
    trainer = Trainer(
        SentenceVAE(
            prior=StandardNormal(3),
            decoder=LSTMDecoder(**sizes, latent_dim=3, max_length=corpus.max_length),
        ),
        GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=3),
        BetaELBO(),
        corpus,
        TrainingConfig(epochs=2, batch_size=16, device="cpu"),
        RunFolder(tmp_path / "new" / "run"),
        report=lambda line: None,
    )
    assert trainer.fit().epoch == 2
    assert trainer.folder.weights.is_file()
    assert trainer.folder.load_state()["progress"]["epoch"] == 2


def test_trainer_refuses_settings_by_themselves():
    with pytest.raises(UserError, match="optimizer must be one of adam, adamw, sgd"):
        TrainingConfig(optimizer="adan")
