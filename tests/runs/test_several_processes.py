# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Processes of one run: whatever they have otherwise is named, with the rank."""

from dataclasses import replace

import pytest

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.processes import agreement, failures
from pyro_textvae.runs import several_processes
from pyro_textvae.runs.build import build
from pyro_textvae.training import shared_steps
from pyro_textvae.training.shared_steps import SharedSteps

CONFIG = TrainConfig(data="grammar", num_sentences=60, device="cpu")


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("grammar", num_sentences=60)


@pytest.fixture
def beside(monkeypatch):
    """Two processes, the second of which has some facts otherwise."""

    def start(**changes):
        named = {name.replace("_", " "): value for name, value in changes.items()}
        for module in (agreement, several_processes):
            monkeypatch.setattr(module, "rank_and_size", lambda: (0, 2))
        monkeypatch.setattr(agreement, "gather", lambda own: [*own, {**own[0], **named}])

    return start


@pytest.mark.parametrize(
    "changes",
    [
        {"version_of_torch": "1.0"},
        {"version_of_Python": "2.7"},
        {"commit_of_pyro-textvae": "0" * 40},
        {"fingerprint_of_the_corpus": "f" * 16},
        {"number_of_training_sentences": "7"},
        {"setting_seed": "1"},
    ],
)
def test_what_a_process_has_otherwise_is_refused(corpus, beside, changes):
    beside()
    several_processes.check_same_run(CONFIG, corpus)
    beside(**changes)
    ((name, value),) = changes.items()
    expected = f"rank 1 has another {name.replace('_', ' ')} than rank 0, {value} in the place of"
    with pytest.raises(UserError, match=expected):
        several_processes.check_same_run(CONFIG, corpus)


def test_a_device_may_be_another(corpus, monkeypatch):
    facts = []
    monkeypatch.setattr(several_processes, "rank_and_size", lambda: (0, 2))
    monkeypatch.setattr(several_processes, "check_same", facts.append)
    several_processes.check_same_run(replace(CONFIG, device="cpu"), corpus)
    assert "setting device" not in facts[0]
    assert "setting seed" in facts[0]


@pytest.mark.parametrize(("size", "changes"), [(4, {"batch_size": 3}), (33, {})])
def test_a_batch_of_fewer_sentences_than_processes_is_refused(corpus, monkeypatch, size, changes):
    config = replace(CONFIG, **changes)
    modules = build(config, corpus).modules
    monkeypatch.setattr(shared_steps, "rank_and_size", lambda: (0, size))
    expected = f"batch_size={config.batch_size} sentences are fewer than {size} processes"
    with pytest.raises(UserError, match=expected):
        SharedSteps(modules, [], config, "cpu")
    monkeypatch.setattr(shared_steps, "rank_and_size", lambda: (0, config.batch_size))
    monkeypatch.setattr(shared_steps, "EarlySums", list)
    SharedSteps(modules, [], config, "cpu")


class LateStore(dict):
    """What processes say to each other; the first one speaks after it was asked once."""

    asked = 0

    def set(self, name, value):
        self[name] = value.encode()

    def check(self, names):
        if names == ["0"]:
            self.asked += 1
            if self.asked > 1:
                self.setdefault("0", b"no")
        return all(name in self for name in names)


def test_a_lower_rank_that_speaks_late_is_the_one_to_say():
    assert not failures._is_to_say(LateStore(), 1, 2, "no")
