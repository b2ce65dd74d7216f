# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Small runs with a procedure, and such runs cut off in the middle."""

import json

import pyro
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import build
from pyro_textvae.training import Trainer

NUM_SENTENCES = 75
BATCHES = 4

SETTINGS = {
    "data": "grammar",
    "num_sentences": NUM_SENTENCES,
    "embedding_dim": 6,
    "hidden_dim": 7,
    "latent_dim": 3,
    "epochs": 3,
    "batch_size": 16,
    "kl_epochs": 1.5,
    "learning_rate": 0.01,
    "log_every": 3,
    "checkpoint_every": 3,
    "device": "cpu",
}


class Killed(Exception):
    """Stands for the signal that ends a run between two steps."""


def make_trainer(path, procedure=None, *, report=lambda line: None, **settings):
    """A trainer as ``train`` makes it, in a folder that is there."""
    config = TrainConfig(**SETTINGS | settings)
    corpus = load_corpus("grammar", num_sentences=NUM_SENTENCES)
    (path / "state").mkdir(parents=True, exist_ok=True)
    with pyro.settings.context(module_local_params=True):
        built = build(config, corpus)
        return Trainer(
            built.model,
            built.guide,
            built.objective,
            corpus,
            config,
            RunFolder(path),
            procedure=procedure,
            report=report,
        )


def kill_before(trainer, step):
    """Let the trainer go on until it has made ``step`` steps, and no further."""
    plain = trainer.procedure.before_step

    def before_step(trainer, batch):
        if trainer.progress.step == step:
            raise Killed
        plain(trainer, batch)

    trainer.procedure.before_step = before_step


def rows_of(trainer, kind="epoch"):
    rows = [json.loads(line) for line in trainer.folder.metrics.read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def values_of(module):
    """A copy of what a module holds now."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
