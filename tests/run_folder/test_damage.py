# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Values that no evaluation and no training writes are named before they are used."""

import json

import pytest

from pyro_textvae.errors import UserError
from pyro_textvae.grid.run import run_grid
from pyro_textvae.report.run_record import read_runs
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.damage import damaged_name, is_epoch
from pyro_textvae.run_folder.evaluated_run import EvaluationError, read_evaluation
from pyro_textvae.runs import compare_runs, load_run


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nll", "18.0"),
        ("nll", True),
        ("kl_per_dimension", [0.5, {}]),
        ("unit_variance", 3),
        ("curve", [{"nll": 1.5, "num_samples": []}]),
        ("curve", [{}]),
        ("warnings", "few draws"),
        ("environment", {"packages": 3}),
        ("split", 3),
        ("check", []),
    ],
)
def test_damaged(tmp_path, name, value):
    evaluation = {"nll": 1.5, "warnings": [], "kl_per_dimension": [0.5, 0.25]}
    assert damaged_name(evaluation) is None
    assert damaged_name(evaluation | {name: value}) == name
    RunFolder(tmp_path).evaluation.write_text(json.dumps(evaluation | {name: value}))
    with pytest.raises(EvaluationError, match=rf"evaluation\.json is damaged \({name} is "):
        read_evaluation(tmp_path)


def test_variances_of_other_dimensions():
    evaluation = {"kl_per_dimension": [0.5, 0.25], "unit_variance": [0.1]}
    assert damaged_name(evaluation) == "unit_variance"


def test_lines_of_metrics():
    epoch = {"kind": "epoch", "epoch": 1, "valid_elbo": 1.5, "valid_kl": None}
    assert is_epoch(epoch)
    for change in ({"kind": "step"}, {"epoch": "1"}, {"valid_elbo": []}, {"valid_kl": {}}):
        assert not is_epoch(epoch | change)
    assert not is_epoch([epoch])


@pytest.mark.parametrize("call", [load_run, RunFolder, run_grid])
def test_what_is_no_path(call):
    with pytest.raises(UserError, match=r"must be str, got \[1\]"):
        call([1])


@pytest.mark.parametrize("call", [compare_runs, read_runs])
def test_what_is_no_list_of_runs(call):
    for given in (3, "run", None):
        with pytest.raises(UserError, match="runs are given as a list of their folders, got"):
            call(given)
    with pytest.raises(UserError, match="the path of a run must be str, got 3"):
        call([3, 4])


def test_topics_that_no_evaluation_writes():
    topic = {"words": ["oven", "flour"], "share": 0.5, "npmi": 0.1, "truth": "cooking"}
    assert damaged_name({"topics": {"npmi": 0.1, "topics": [topic]}}) is None
    for broken in (topic | {"words": "oven"}, topic | {"share": []}, 3):
        assert damaged_name({"topics": {"topics": [topic, broken]}}) == "topics.topics"
