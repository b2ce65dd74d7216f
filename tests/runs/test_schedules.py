# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""KL schedules from the settings of a run: of the catalogue and from a file."""

import pytest

from pyro_textvae import zoo
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.infer import (
    ConstantSchedule,
    CyclicalSchedule,
    LinearSchedule,
    LogisticSchedule,
    ZeroThenLinearSchedule,
)
from pyro_textvae.runs.build import build, build_schedule

# Settings for 10 steps an epoch, and the schedule that they describe.
SETTINGS = {
    "kl_weight": 0.8,
    "kl_start": 0.2,
    "kl_epochs": 3.26,
    "kl_zero": 0.3,
    "kl_cycles": 3,
}
SCHEDULES = {
    "constant": ConstantSchedule(0.8),
    "linear": LinearSchedule(33, 0.2, 0.8),
    "logistic": LogisticSchedule(33, 0.8),
    "cyclical": CyclicalSchedule(33, 3, 0.2, 0.8),
    "zero_then_linear": ZeroThenLinearSchedule(33, 9, 0.8),
}


@pytest.mark.parametrize("name", zoo.names("kl_schedules"))
def test_settings_reach_the_schedule_that_names_them(name):
    schedule = build_schedule(TrainConfig(kl_schedule=name, **SETTINGS), 10)
    assert type(schedule) is type(SCHEDULES[name])
    assert [schedule(t) for t in range(40)] == [SCHEDULES[name](t) for t in range(40)]


def test_steps_stand_before_epochs():
    config = TrainConfig(kl_schedule="linear", kl_steps=7, **SETTINGS)
    assert build_schedule(config, 10).num_steps == 7


def test_schedule_of_the_users_own_takes_settings_and_options(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from pyro_textvae.infer import KLSchedule\n\n\n"
        "class Stairs(KLSchedule):\n"
        "    def __init__(self, num_steps, stairs, end=1.0):\n"
        "        super().__init__(end)\n"
        "        self.num_steps, self.stairs = num_steps, stairs\n\n"
        "    def __call__(self, step):\n"
        "        share = min(step / self.num_steps, 1.0)\n"
        "        return self.end * int(share * self.stairs) / self.stairs\n"
    )
    options = {"stairs": 4, "alpha": 0.1}
    config = TrainConfig(kl_schedule=f"{path}:Stairs", kl_steps=8, options=options)
    schedule = build_schedule(config, 10)
    assert [schedule(t) for t in (0, 2, 5, 8, 9)] == [0.0, 0.25, 0.5, 1.0, 1.0]
    with pytest.raises(UserError, match="Stairs needs 'stairs'.* give it in options"):
        build_schedule(TrainConfig(kl_schedule=f"{path}:Stairs"), 10)


def test_option_of_a_schedule_is_no_setting():
    """``ramp`` is an option; ``num_steps`` comes from settings, so as an option it is refused."""
    settings = {"kl_schedule": "cyclical", "kl_steps": 8, "embedding_dim": 4, "hidden_dim": 5}
    corpus = load_corpus("grammar", num_sentences=60)
    schedule = build(TrainConfig(**settings, options={"ramp": 0.25}), corpus).objective.schedule
    assert (schedule.num_steps, schedule.ramp) == (8, 0.25)
    with pytest.raises(UserError, match="option 'num_steps' is taken by no part"):
        build(TrainConfig(**settings, options={"num_steps": 5}), corpus)
    with pytest.raises(UserError, match="option 'ramp' is taken by no part"):
        build(TrainConfig(**settings | {"kl_schedule": "linear"}, options={"ramp": 0.25}), corpus)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lin", r"there is no kl_schedule 'lin'; did you mean 'linear'\? Known: constant"),
        ("steps", "there is no kl_schedule 'steps'; known: constant"),
    ],
)
def test_unknown_schedule_is_refused_where_the_settings_are_made(spec, message):
    with pytest.raises(UserError, match=message):
        TrainConfig(kl_schedule=spec)


def test_class_that_is_no_schedule_is_refused():
    with pytest.raises(UserError, match="torch.nn:Identity is no KL schedule: derive it from"):
        build_schedule(TrainConfig(kl_schedule="torch.nn:Identity"), 10)
