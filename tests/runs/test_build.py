# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Everything that a run is trained with, from its settings, in one call."""

import json

import pyro
import pytest
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.grid.run import run_grid
from pyro_textvae.infer.constraints import FreeBits
from pyro_textvae.runs.build import build, build_pair, specs_of
from pyro_textvae.runs.train import resume, train
from pyro_textvae.training.procedures import AggressiveEncoder

SMALL = {
    "data": "grammar",
    "num_sentences": 60,
    "embedding_dim": 4,
    "hidden_dim": 5,
    "latent_dim": 3,
    "epochs": 1,
    "device": "cpu",
}
SIZES = {"vocab_size": 9, "max_length": 5}


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("grammar", num_sentences=60)


def values(built):
    return built.modules.state_dict()


def test_all_of_a_run_is_built(corpus):
    config = TrainConfig(
        **SMALL,
        constraint="free_bits_per_site",
        procedure="aggressive_encoder",
        options={"nats": 2.0, "inner_window": 4},
        kl_epochs=2.0,
        batch_size=16,
    )
    built = build(config, corpus)
    assert built.specs["guide"] == "gaussian"
    assert built.model.decoder.latent_dim == 3
    assert isinstance(built.objective.constraint, FreeBits)
    assert built.objective.schedule.num_steps == 2 * corpus.num_batches("train", 16)
    assert isinstance(built.procedure, AggressiveEncoder)
    assert built.procedure.inner_window == 4
    assert build(TrainConfig(**SMALL), corpus).procedure is None


def test_same_seed_gives_the_same_weights_whatever_was_drawn_before(corpus):
    config = TrainConfig(**SMALL, seed=3)
    first = values(build(config, corpus))
    after_first = torch.rand(2)
    torch.rand(5)
    second = values(build(config, corpus))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.rand(2), after_first)
    other = values(build(TrainConfig(**SMALL, seed=4), corpus))
    assert not torch.equal(first["model.decoder.embedding.weight"], other[list(other)[0]])


def test_parameters_stay_out_of_the_global_store(corpus):
    built = build(TrainConfig(**SMALL), corpus)
    assert not list(pyro.get_param_store().keys())
    assert not pyro.settings.get("module_local_params")
    assert list(built.modules.parameters())


def test_sizes_and_specs_of_a_stored_run_take_the_place_of_the_settings(corpus):
    config = TrainConfig(**SMALL)
    specs = {**specs_of(config), "guide": "full_covariance"}
    built = build(config, corpus, specs=specs, sizes=SIZES)
    assert type(built.guide).__name__ == "FullCovarianceGuide"
    assert built.specs["guide"] == "full_covariance"
    assert built.model.decoder.embedding.num_embeddings == 9


def test_an_option_may_name_its_part():
    config = TrainConfig(options={"num_layers": 2, "decoder_num_layers": 3}, decoder="gru")
    pair = build_pair(config, SIZES)
    assert pair.model.decoder.num_layers == 3
    assert pair.guide.encoder.lstm.num_layers == 2


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"options": {"encoder_num_slots": 3}}, ""),
        ({"options": {"nats": 1.0}}, ""),
        ({"options": {"num_leyers": 2}}, "; did you mean 'num_layers'?"),
        ({"options": {"decoder_num_leyers": 2}}, "; did you mean 'decoder_num_layers'?"),
        ({"options": {"pretrain_epochs": 2}, "procedure": "aggressive_encoder"}, ""),
        # A language model has no encoder, whatever the settings call one.
        ({"options": {"kernel_sizes": [3]}, "encoder": "cnn", "model": "language_model"}, ""),
    ],
    ids=str,
)
def test_option_that_nothing_takes_is_refused(corpus, settings, hint):
    name = next(iter(settings["options"]))
    with pytest.raises(UserError) as caught:
        build(TrainConfig(**SMALL, **settings), corpus)
    assert str(caught.value).startswith(f"option {name!r} is taken by no part of this run{hint}")


def test_every_way_to_a_run_refuses_it(tmp_path):
    config = TrainConfig(**SMALL, options={"zzz": 1})
    with pytest.raises(UserError, match="option 'zzz' is taken by no part"):
        train(config, tmp_path / "run", report=lambda line: None)
    assert not (tmp_path / "run").exists()
    grid = {"out": str(tmp_path / "grid"), "settings": {**SMALL, "options": {"zzz": 1}}}
    with pytest.raises(UserError, match="cell run: option 'zzz' is taken by no part"):
        run_grid(grid, report=lambda line: None)
    train(TrainConfig(**SMALL), tmp_path / "run", report=lambda line: None)
    path = tmp_path / "run" / "config.json"
    contents = json.loads(path.read_text())
    contents["settings"]["options"] = {"zzz": 1}
    path.write_text(json.dumps(contents))
    with pytest.raises(UserError, match="option 'zzz' is taken by no part"):
        resume(tmp_path / "run", epochs=2, report=lambda line: None)


def test_settings_that_name_no_model_are_refused():
    with pytest.raises(UserError, match="the settings name no prior: give one"):
        build_pair(TrainConfig(), SIZES, specs={**specs_of(TrainConfig()), "prior": None})
