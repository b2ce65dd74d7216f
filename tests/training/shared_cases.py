# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Small runs of every objective, constraint and kind of draw, in one process or several."""

import json

import pyro
import torch
import torch.distributed

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.infer import BetaELBO
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.unwritten_folder import folder_of_process
from pyro_textvae.runs.build import build
from pyro_textvae.runs.load import load_corpus_of
from pyro_textvae.training import Trainer, sum_gradients

SETTINGS = {
    "data": "grammar",
    "num_sentences": 75,
    "embedding_dim": 6,
    "hidden_dim": 7,
    "latent_dim": 3,
    "batch_size": 13,
    "kl_epochs": 3.0,
    "learning_rate": 0.003,
    "word_dropout": 0.2,
    "log_every": 1,
    "seed": 3,
    "device": "cpu",
}
OBJECTIVES = {
    "beta_elbo": {},
    "beta_elbo of two draws": {"num_particles": 2},
    "ciwae": {"objective": "ciwae", "num_particles": 3},
    "dreg": {"objective": "dreg", "num_particles": 3},
    "iwae": {"objective": "iwae", "num_particles": 3},
    "miwae": {"objective": "miwae", "num_particles": 4, "options": {"num_groups": 2}},
    "piwae": {"objective": "piwae", "num_particles": 4, "options": {"num_groups": 2}},
    "renyi_iwae": {"objective": "renyi_iwae", "num_particles": 3},
    "semi_amortised_elbo": {"objective": "semi_amortised_elbo", "options": {"num_steps": 2}},
    "stl": {"objective": "stl", "num_particles": 2},
    "thermodynamic_elbo": {"objective": "thermodynamic_elbo", "num_particles": 3},
    "vimco": {"objective": "vimco", "num_particles": 3},
    "wake_sleep": {"objective": "wake_sleep", "num_particles": 3},
    "Trace_ELBO": {"objective": "pyro.infer:Trace_ELBO"},
}
CONSTRAINTS = {
    "free_bits": {"constraint": "free_bits", "options": {"nats": 0.1}},
    "free_bits of batch means": {
        "constraint": "free_bits",
        "options": {"nats": 0.1, "over": "batch_mean", "per": "dimension"},
        "num_particles": 2,
    },
    "maximum_mean_discrepancy": {
        "constraint": "maximum_mean_discrepancy",
        "options": {"weight": 20.0, "alpha": 0.5},
        "num_particles": 2,
    },
    "minimum_desired_rate": {
        "constraint": "minimum_desired_rate",
        "options": {"nats": 2.0},
        "kl_schedule": "constant",
    },
    "mutual_information": {
        "constraint": "mutual_information",
        "options": {"weight": 0.5, "memory": 40},
        "num_particles": 2,
    },
    "target_kl": {"constraint": "target_kl", "options": {"nats": 1.0}},
    "target_kl with iwae": {
        "constraint": "target_kl",
        "objective": "iwae",
        "num_particles": 3,
        "options": {"nats": 1.0},
    },
}
WORLD = {"data": "world:sentiment", "num_sentences": 90}
PROGRAMS = {
    "power_spherical": {"guide": "power_spherical", "prior": "uniform_sphere"},
    "von_mises_fisher": {
        "guide": "von_mises_fisher",
        "prior": "uniform_sphere",
        "num_particles": 2,
    },
    "gaussian_mixture": {"guide": "gaussian_mixture", "prior": "gaussian_mixture"},
    "full_covariance": {"guide": "full_covariance", "prior": "flow_prior"},
    "inverse_autoregressive_flow": {"guide": "inverse_autoregressive_flow"},
    "low_rank": {"guide": "low_rank", "prior": "vamp_prior"},
    "product_space": {"guide": "product_space", "prior": "product_space"},
    "transformer": {
        "decoder": "transformer",
        "encoder": "transformer",
        "hidden_dim": 8,
        "options": {"num_heads": 2},
        "objective": "iwae",
        "num_particles": 2,
    },
    "dilated_cnn": {"decoder": "dilated_cnn", "encoder": "cnn", "hidden_dim": 8},
    "bag_of_words": {
        "decoder": "bag_of_words",
        "encoder": "bag_of_words",
        "options": {"dropout": 0.3},
    },
    "language_model": {"model": "language_model", "latent_dim": 0},
    "auxiliaries": {"auxiliaries": {"bag_of_words": 0.5, "length": 0.1}},
    "labelled_vae": {**WORLD, "model": "labelled_vae", "guide": "labelled"},
    "labelled_vae of two draws": {
        **WORLD,
        "model": "labelled_vae",
        "guide": "labelled",
        "objective": "iwae",
        "num_particles": 2,
        "labelled_share": 0.5,
    },
    "attribute_consistency": {
        **WORLD,
        "model": "labelled_vae",
        "guide": "labelled",
        "auxiliaries": {"attribute_consistency": 0.3},
    },
    "conditional_vae": {
        "data": "world:paraphrase",
        "num_sentences": 90,
        "model": "conditional_vae",
        "options": {"copying": True},
    },
    "paraphrase_vae": {
        "data": "world:paraphrase",
        "num_sentences": 90,
        "model": "paraphrase_vae",
        "guide": "paraphrase",
    },
    "noisy_channel": {
        "data": "world:typos",
        "num_sentences": 90,
        "model": "noisy_channel",
        "guide": "noisy_channel",
    },
    "dialogue_vae": {
        "data": "world:dialogue",
        "data_options": {"labels": True},
        "num_sentences": 90,
        "model": "dialogue_vae",
        "guide": "dialogue",
    },
    "topic_model": {
        "data": "world:topics",
        "num_sentences": 90,
        "model": "topic_model",
        "guide": "topic",
        "word_dropout": 0.0,
        "options": {"topic_prior": "dirichlet"},
    },
    "topic_sentence_vae": {
        "data": "world:topics",
        "num_sentences": 90,
        "model": "topic_sentence_vae",
        "guide": "topic_sentence",
    },
    "document_vae": {
        "data": "world:documents",
        "num_sentences": 90,
        "model": "document_vae",
        "guide": "document",
        "num_particles": 2,
    },
    "conversation_vae": {
        "data": "world:conversations",
        "num_sentences": 90,
        "model": "conversation_vae",
        "guide": "document",
    },
    "poem_vae": {
        "data": "world:verse",
        "num_sentences": 90,
        "model": "poem_vae",
        "guide": "document",
    },
    "review_group_vae": {
        "data": "world:reviews",
        "num_sentences": 90,
        "model": "review_group_vae",
        "guide": "document",
    },
    "aggressive_encoder": {
        "procedure": "aggressive_encoder",
        "options": {"max_inner_steps": 5, "inner_window": 2},
    },
    "pretrained_encoder": {
        "procedure": "pretrained_encoder",
        "options": {"pretrain_epochs": 1},
        "epochs": 2,
    },
    "sentence_posteriors": {
        "guide": "pyro_textvae.infer:SentenceAutoGuide",
        "procedure": "sentence_posteriors",
        "options": {"posterior_epochs": 1},
    },
    "topic_start": {
        "data": "world:topics",
        "num_sentences": 90,
        "model": "topic_model",
        "guide": "topic",
        "word_dropout": 0.0,
        "procedure": "topic_start",
    },
    "accumulate": {"accumulate": 3},
    "accumulate_batches": {"accumulate_batches": 2, "batch_size": 5},
    "batches of one sentence": {"batch_tokens": 16, "num_particles": 2},
    "batch_tokens": {"batch_tokens": 150},
}
CASES = {**OBJECTIVES, **CONSTRAINTS, **PROGRAMS}


def train_case(name, path, dtype=torch.float64, epochs=2, **changes):
    """Train a case into a folder, and give back the lines of its metrics; none but in rank 0."""
    config = TrainConfig(**{**SETTINGS, "epochs": epochs, **CASES[name], **changes})
    corpus = load_corpus_of(config)
    path.joinpath("state").mkdir(parents=True, exist_ok=True)
    with pyro.settings.context(module_local_params=True):
        built = build(config, corpus)
        built.modules.to(dtype)
        auxiliaries = getattr(built.objective, "auxiliaries", None)
        if auxiliaries:
            auxiliaries.to(dtype)
        trainer = Trainer(
            built.model,
            built.guide,
            built.objective,
            corpus,
            config,
            folder_of_process(path),
            procedure=built.procedure,
            report=lambda line: None,
        )
        trainer.fit()
    if not trainer.folder.is_written:
        return []
    return rows_of(path)


def rows_of(path):
    return [json.loads(line) for line in RunFolder(path).metrics.read_text().splitlines()]


def train_in_a_rank(rank, size, meeting, names, path, options):
    """What :func:`torch.multiprocessing.spawn` calls."""
    torch.set_num_threads(1)
    # So that these small models have parameters of each kind of sum.
    sum_gradients.SMALL = 50
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size
    )
    for name in names:
        if rank == 0:
            path.joinpath(name, "state").mkdir(parents=True, exist_ok=True)
        torch.distributed.barrier()
        try:
            train_case(name, path / name, **options)
        except Exception as error:
            raise RuntimeError(name) from error
    torch.distributed.destroy_process_group()


def largest_difference(rows, others):
    """Of numbers with the same names, relative to the larger of 1 and their size."""
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    worst = 0.0
    for row, other in zip(rows, others, strict=True):
        for key, value in row.items():
            if isinstance(value, bool | str) or value is None:
                assert value == other[key], key
            elif key == "valid_mutual_information":
                # Of a Dirichlet its estimate is in float32, which rounds otherwise now and then.
                assert abs(value - other[key]) < 1e-4, key
            else:
                worst = max(worst, abs(value - other[key]) / max(1.0, abs(value)))
    return worst


class OfBatchMean(BetaELBO):
    """An objective that is no sum over sentences, and does not ask for those of other processes."""

    def bound(self, terms):
        bound = super().bound(terms)
        return bound - bound.mean().square()
