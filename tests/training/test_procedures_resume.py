# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""With every procedure and schedule, a run killed and resumed is the run left alone."""

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.training import Procedure
from pyro_textvae.training.procedures import (
    AggressiveEncoder,
    PretrainedEncoder,
    SentencePosteriors,
)

from .procedure_runs import BATCHES, Killed, kill_before, make_trainer, same, values_of

# Small loops, so that a window ends within a step and the autoencoder within a run.
MAKERS = {
    "plain": Procedure,
    "aggressive_encoder": lambda: AggressiveEncoder(max_inner_steps=5, inner_window=2),
    "pretrained_encoder": lambda: PretrainedEncoder(pretrain_epochs=1),
    "sentence_posteriors": lambda: SentencePosteriors(posterior_epochs=2),
}
OF_SENTENCES = {"guide": "pyro_textvae.infer:SentenceAutoGuide"}


def finish(path, make, kill_at, **settings):
    """A run, in as many lives as ``kill_at`` has entries and one more."""
    for step in (*kill_at, None):
        trainer = make_trainer(path, make(), **settings)
        state = trainer.folder.load_state()
        if state is not None:
            trainer.load_state_dict(state)
        if step is None:
            trainer.fit()
            return trainer
        kill_before(trainer, step)
        with pytest.raises(Killed):
            trainer.fit()
    raise AssertionError


def test_every_procedure_of_the_catalogue_is_tried():
    # topic_start is of topic models alone, and has tests of its own.
    assert {*MAKERS, "topic_start"} == {"plain", *zoo.names("procedures")}


@pytest.fixture(scope="module", params=MAKERS)
def undisturbed(request, tmp_path_factory):
    """Name of a procedure, a run with it, and the settings that it needs."""
    path = tmp_path_factory.mktemp("undisturbed")
    settings = OF_SENTENCES if request.param == "sentence_posteriors" else {}
    return request.param, finish(path, MAKERS[request.param], (), **settings), settings


# An epoch has 4 steps, and checkpoints are after 0, 3, 4, 6, 8, 9 and 12. Going on from 3, 6 and 9
# is going on in the middle of an epoch.
@pytest.mark.parametrize("kill_at", [(0, 2), (3, 7), (5, 10)])
def test_killed_and_resumed_run_is_the_undisturbed_one(tmp_path, undisturbed, kill_at):
    name, left_alone, settings = undisturbed
    killed = finish(tmp_path / "killed", MAKERS[name], kill_at, **settings)
    assert killed.folder.metrics.read_text() == left_alone.folder.metrics.read_text()
    assert same(values_of(killed.modules), values_of(left_alone.modules))
    assert killed.progress == left_alone.progress
    states = [trainer.folder.load_state() for trainer in (killed, left_alone)]
    assert torch.equal(*(state["random_state"]["torch"] for state in states))
    own = [state["procedure"] for state in states]
    assert own[0].keys() == own[1].keys()
    for key, value in own[0].items():
        equal = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: a == b
        assert equal(value, own[1][key]), key


@pytest.mark.parametrize("schedule", ["linear", "logistic", "cyclical", "zero_then_linear"])
def test_schedule_goes_on_where_its_run_was_killed(tmp_path, schedule):
    settings = {"kl_schedule": schedule, "kl_epochs": 2.5, "kl_cycles": 2, "log_every": 1}
    left_alone = finish(tmp_path / "left alone", Procedure, (), **settings, epochs=2)
    killed = finish(tmp_path / "killed", Procedure, (5, 7), **settings, epochs=2)
    assert killed.folder.load_state()["objective"] == left_alone.folder.load_state()["objective"]
    assert killed.objective.step == 2 * BATCHES
    assert killed.folder.metrics.read_text() == left_alone.folder.metrics.read_text()
    # A schedule that began again at each resumption would be seen: its weights differ.
    assert killed.objective.schedule(1) != killed.objective.schedule(7)


def test_checkpoint_of_before_there_were_procedures_is_taken_up(tmp_path):
    left_alone = finish(tmp_path / "left alone", Procedure, (), epochs=2)
    trainer = make_trainer(tmp_path / "killed", epochs=2)
    kill_before(trainer, 5)
    with pytest.raises(Killed):
        trainer.fit()
    state = trainer.folder.load_state()
    del state["procedure"]
    resumed = make_trainer(tmp_path / "killed", epochs=2)
    resumed.load_state_dict(state)
    resumed.fit()
    assert same(values_of(resumed.modules), values_of(left_alone.modules))
