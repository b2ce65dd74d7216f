# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Settings that are given from Python are checked where their dataclass is made."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch

from pyro_textvae.cli.interpolate import InterpolateOptions
from pyro_textvae.cli.reconstruct import ReconstructOptions
from pyro_textvae.cli.run_options import RunOptions
from pyro_textvae.cli.sample import SampleOptions
from pyro_textvae.config import EvaluationConfig, TrainConfig, TrainingConfig
from pyro_textvae.errors import UserError

CONFIGS = (TrainingConfig, TrainConfig, EvaluationConfig, SampleOptions)


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (TrainConfig, {"optimizer": "adan"}, "must be one of adam, adamw, sgd, got 'adan'"),
        (TrainConfig, {"optimizer": "adan"}, "; did you mean 'adam'?"),
        (TrainingConfig, {"optimizer": "adan"}, "optimizer must be one of adam, adamw, sgd"),
        (TrainConfig, {"weight_decay": 0.1}, "weight_decay is of adamw, and adam would ignore it"),
        (TrainingConfig, {"weight_decay": 0.1, "optimizer": "sgd"}, "sgd would ignore it"),
        (TrainConfig, {"kl_schedule": "lin"}, "did you mean 'linear'?"),
        (TrainConfig, {"precision": "float16"}, "precision must be one of float32, bfloat16"),
        (TrainConfig, {"epochs": 1.5}, "epochs must be int, got 1.5"),
        (TrainConfig, {"epochs": "3"}, "epochs must be int, got '3'"),
        (TrainConfig, {"epochs": True}, "epochs must be int, got True"),
        (TrainConfig, {"epochs": None}, "epochs must be int, got None"),
        (TrainConfig, {"vocab_size": 2.0}, "vocab_size must be int, got 2.0"),
        (TrainConfig, {"kl_weight": True}, "kl_weight must be float, got True"),
        (TrainConfig, {"kl_weight": "1"}, "kl_weight must be float, got '1'"),
        (TrainConfig, {"truncate": 1}, "truncate must be bool, got 1"),
        (TrainConfig, {"options": [1]}, "options must be dict, got [1]"),
        (TrainConfig, {"model": None}, "model must be str, got None"),
        (TrainConfig, {"min_count": 0}, "min_count must be at least 1, got 0"),
        (TrainConfig, {"kl_start": float("inf")}, "kl_start must be finite, got inf"),
        (TrainConfig, {"kl_zero": 1.0}, "kl_zero must lie in [0, 1), got 1.0"),
        (TrainConfig, {"kl_epochs": 0}, "kl_epochs must be positive with a linear schedule"),
        (TrainConfig, {"procedure": "agressive_encoder"}, "did you mean 'aggressive_encoder'?"),
        (TrainingConfig, {"decay": 1.5}, "decay must lie in (0, 1], got 1.5"),
        (TrainingConfig, {"clip_norm": float("nan")}, "clip_norm must be positive, got nan"),
        (TrainingConfig, {"seed": 2**32}, "seed must lie in [0, 2**32), got 4294967296"),
        (EvaluationConfig, {"split": "validation"}, "split must be one of train, valid, test"),
        (EvaluationConfig, {"proposal": "refind"}, "did you mean 'refined'?"),
        (EvaluationConfig, {"target_standard_error": 0}, "target_standard_error must be positive"),
        (EvaluationConfig, {"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        (SampleOptions, {"method": "bean"}, "there is no method 'bean'; did you mean 'beam'?"),
        (RunOptions, {"seed": -1}, "seed must lie in [0, 2**32), got -1"),
    ],
    ids=str,
)
def test_wrong_value_is_refused_by_name(config, settings, message):
    with pytest.raises(UserError) as caught:
        config(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_choice_is_checked(config):
    kinds = get_type_hints(config)
    choices = [each.name for each in fields(config) if get_origin(kinds[each.name]) is Literal]
    for name in choices:
        with pytest.raises(UserError, match=f"{name} must be one of .*, got 'zzz'"):
            config(**{name: "zzz"})
        for choice in get_args(kinds[name]):
            config(**{name: choice})


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_has_one_type(config):
    """An object is of no type that a setting has."""
    for each in fields(config):
        with pytest.raises(UserError, match=f"^{each.name} must be "):
            config(**{each.name: object()})


def test_whole_number_may_stand_for_a_float_and_stays_as_given():
    config = TrainConfig(kl_weight=1, learning_rate=1, options={"a": [1]}, vocab_size=None)
    assert type(config.to_dict()["kl_weight"]) is int


def test_class_of_the_users_own_is_no_wrong_name():
    assert EvaluationConfig(proposal="mine.py").proposal == "mine.py"
    assert EvaluationConfig(proposal="package.module:Mine").proposal == "package.module:Mine"


def test_changed_config_is_checked_again():
    with pytest.raises(UserError, match="epochs must be at least 1, got 0"):
        replace(TrainConfig(), epochs=0)


def test_training_settings_are_those_of_a_run_without_its_programs():
    of_training = [each.name for each in fields(TrainingConfig)]
    of_run = [each.name for each in fields(TrainConfig)]
    assert of_run[0] == "data"
    assert of_run[-len(of_training) :] == of_training
    defaults = TrainConfig().to_dict()
    assert all(getattr(TrainingConfig(), name) == defaults[name] for name in of_training)
    assert isinstance(TrainConfig(), TrainingConfig)


def test_batches_are_bounded_by_sentences_or_by_tokens():
    assert TrainingConfig(batch_size=7).batch_limits == {"batch_size": 7}
    limits = TrainingConfig(batch_size=7, batch_tokens=100).batch_limits
    assert limits == {"batch_size": None, "max_tokens": 100}


def test_values_of_other_libraries_become_plain():
    config = TrainConfig(
        data=Path("a") / "b.txt",
        epochs=np.int64(3),
        learning_rate=np.float32(0.5),
        truncate=np.bool_(True),
        device=torch.device("cpu"),
        options={"rate": np.float64(0.25), "inner": {"folder": Path("c")}, "list": [np.int32(1)]},
    )
    values = config.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert (values["data"], values["epochs"], values["device"]) == ("a/b.txt", 3, "cpu")
    assert (values["learning_rate"], values["truncate"]) == (0.5, True)
    assert values["options"] == {"rate": 0.25, "inner": {"folder": "c"}, "list": [1]}


def test_what_no_file_can_hold_is_refused_inside_of_a_mapping():
    with pytest.raises(UserError, match=r"options\.a\[0\] must be text, a number, .*, got <object"):
        TrainConfig(options={"a": [object()]})


LEAST = {
    0: {"seed", "latent_dim", "max_decays", "kl_weight", "kl_start"},
    1: {
        *("epochs", "batch_size", "batch_tokens", "patience", "log_every", "checkpoint_every"),
        *("min_count", "vocab_size", "max_length", "num_sentences", "embedding_dim", "hidden_dim"),
        *("num_particles", "kl_steps", "kl_cycles", "num_samples", "most_rounds", "max_tokens"),
        *("size", "num_components"),
    },
    2: {"steps"},
}


@pytest.mark.parametrize("config", [*CONFIGS, ReconstructOptions, InterpolateOptions])
def test_every_range_begins_at_its_least_value(config):
    names = {each.name for each in fields(config)}
    for least, settings in LEAST.items():
        for name in sorted(settings & names):
            assert getattr(config(**{name: least}), name) == least
            with pytest.raises(UserError, match=f"^{name} must "):
                config(**{name: least - 1})
