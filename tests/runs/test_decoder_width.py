# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The width of what a decoder takes is asked of the model, not of the setting alone."""

from pathlib import Path

import pytest

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import train

PROGRAMS = Path(__file__).parents[1] / "programs" / "labelled.py"


def run(path, options, **settings):
    config = TrainConfig(
        data="grammar",
        num_sentences=40,
        model=f"{PROGRAMS}:LabelledVAE",
        guide=f"{PROGRAMS}:LabelledGuide",
        objective="vimco",
        num_particles=2,
        embedding_dim=4,
        hidden_dim=5,
        latent_dim=3,
        epochs=1,
        kl_schedule="constant",
        options=options,
        **settings,
    )
    train(config, path, report=lambda line: None)
    return load_run(path)[:2]


@pytest.mark.parametrize(("options", "width"), [({}, 5), ({"label_dim": 7}, 10)])
def test_decoder_is_given_z_and_a_label_and_the_guide_is_not(options, width, tmp_path):
    model, guide = run(tmp_path / "run", options)
    assert model.decoder.latent_dim == width
    assert model.label.weight.shape[1] == width - 3
    assert guide.z.out_features == 2 * 3


def test_language_model_has_a_decoder_without_z(tmp_path):
    config = TrainConfig(data="grammar", num_sentences=40, model="language_model", epochs=1)
    train(config, tmp_path / "run", report=lambda line: None)
    assert load_run(tmp_path / "run")[0].decoder.latent_dim == 0


def test_width_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UserError, match="decoder has latent_dim=4, got z of size 5"):
        run(tmp_path / "run", {"decoder_latent_dim": 4})
