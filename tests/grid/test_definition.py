# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A grid from its YAML file to its cells."""

import pytest
import yaml

from pyro_textvae.errors import UserError
from pyro_textvae.grid.definition import read_grid

GRID = {
    "out": "runs/objectives",
    "settings": {"data": "grammar", "epochs": 2, "options": {"num_layers": 2}},
    "axes": {
        "guide": ["gaussian"],
        "objective": {
            "elbo": None,
            "cyclical": {"kl_schedule": "cyclical"},
            "target": {"options": {"target": 3.0}},
        },
    },
    "seeds": [0, 1],
    "evaluation": {"num_samples": 500},
    "gradient_draws": 20,
}


def grid_of(**changes):
    return read_grid({**GRID, **changes})


def test_cross_product_in_order_with_its_names():
    grid = grid_of(axes={**GRID["axes"], "latent_dim": [8, 16]}, settings={})
    assert grid.cells[:3] == ["elbo-8", "elbo-16", "cyclical-8"]
    assert [run.name for run in grid.runs[5:8]] == [
        "target-16-seed0",
        "elbo-8-seed1",
        "elbo-16-seed1",
    ]
    assert len(grid.runs) == 12
    first = grid.runs[0]
    assert first.members == {"guide": "gaussian", "objective": "elbo", "latent_dim": "8"}
    assert first.folder.as_posix() == "runs/objectives/elbo-8-seed0"


def test_settings_of_cell_seed_and_all():
    runs = {run.name: run.config for run in grid_of().runs}
    assert {config.epochs for config in runs.values()} == {2}
    assert runs["cyclical-seed1"].kl_schedule == "cyclical"
    assert runs["cyclical-seed1"].seed == 1
    assert runs["elbo-seed0"].kl_schedule == "linear"
    assert runs["elbo-seed0"].guide == "gaussian"
    assert runs["elbo-seed0"].options == {"num_layers": 2}
    assert runs["target-seed0"].options == {"num_layers": 2, "target": 3.0}
    assert (grid_of().evaluation.num_samples, grid_of().gradient_draws) == (500, 20)


def test_cell_goes_over_the_settings_of_all():
    grid = grid_of(axes={"epochs": [1, 5]})
    assert [run.config.epochs for run in grid.runs] == [1, 5, 1, 5]


@pytest.mark.parametrize(
    ("axes", "cells"),
    [
        ({}, ["run"]),
        ({"guide": ["gaussian"], "epochs": [3]}, ["gaussian-3"]),
        ({"model": ["path/to/mine.py:Model", "sentence_vae"]}, ["path_to_mine.py_Model", None]),
        ({"learning_rate": [1e-3, "1e-4"], "truncate": [False, True]}, ["0.001-false"]),
        ({"max_length": [None, 5]}, ["null", "5"]),
    ],
)
def test_names_of_values(axes, cells):
    for found, expected in zip(grid_of(axes=axes).cells, cells, strict=False):
        assert expected in (None, found)


def test_numbers_that_yaml_takes_for_text(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("out: runs/x\naxes: {learning_rate: [1e-3, 1e-4]}\n")
    grid = read_grid(path)
    assert [run.config.learning_rate for run in grid.runs] == [1e-3, 1e-4]
    assert grid.cells == ["1e-3", "1e-4"]


def test_file_is_the_mapping(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(GRID, sort_keys=False))
    assert [run.config for run in read_grid(path).runs] == [run.config for run in grid_of().runs]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axis": {}}, r"^the grid has no setting 'axis': did you mean 'axes'\?"),
        ({"out": None}, "needs out"),
        ({"settings": {"epoch": 2}}, r"settings has no setting 'epoch': did you mean 'epochs'\?"),
        ({"settings": {"epochs": "two"}}, r"cell elbo: epochs must be int, got 'two'"),
        ({"settings": {"epochs": 0}}, r"cell elbo: epochs must be at least 1, got 0"),
        ({"settings": {"seed": 3}}, r"settings: the seed is no setting of a cell: write seeds"),
        ({"settings": [1]}, "settings must be a mapping"),
        ({"axes": {"seed": [1, 2]}}, "axis seed: the seed is no setting of a cell"),
        ({"axes": {"objectiv": ["a"]}}, r"'objectiv': did you mean 'objective'\?"),
        (
            {"axes": {"x": {"a": {}, "b": {"kl_weigth": 2}}}},
            r"axis x: b has no .*'kl_weigth': did you mean 'kl_weight'",
        ),
        (
            {"axes": {"x": {"a": {}, "b": {"kl_schedule": "round"}}}},
            r"cell b: there is no kl_schedule 'round'; known: constant, .*zero_then_linear",
        ),
        ({"axes": {"x": {"a": {}, "b": 3}}}, r"axis x: b must be a mapping of settings, got 3"),
        ({"axes": {"x": []}}, r"axis x must be a list of values, or a mapping .*, got \[\]"),
        ({"axes": {"epochs": [[1]]}}, r"axis epochs: \[1\] has no name: write name: settings"),
        ({"axes": {"kl_weight": [1, 1.0]}}, r"cells 1 and 1\.0 have the same settings: leave one"),
        ({"axes": {"epochs": [1, 1]}}, "axis epochs: two members have the name 1"),
        (
            {
                "axes": {
                    "x": {"a-b": {}, "a": {"epochs": 2}},
                    "y": {"c": {}, "b-c": {"kl_weight": 0.5}},
                }
            },
            "two runs have the name a-b-c-seed0",
        ),
        (
            {"axes": {"x": {"a": {"epochs": 2}}, "epochs": [1, 3]}},
            r"cell 1: epochs is given by both x and epochs",
        ),
        (
            {"axes": {"x": {"a": {"options": {"k": 2}}}, "y": {"b": {"options": {"k": 3}}}}},
            r"options.k is given by both x and y",
        ),
        ({"axes": {"x": {"a/b": {}, "c": {}}}}, r"'a/b' cannot name a folder"),
        ({"settings": {"options": 3}, "axes": {}}, r"cell run: options must be dict, got '3'"),
        ({"seeds": []}, r"seeds must be a list of whole numbers, got \[\]"),
        ({"seeds": [0, "b"]}, "seeds must be a list of whole numbers"),
        ({"seeds": [0, 0]}, "two runs have the name elbo-seed0"),
        ({"seeds": [-1]}, r"cell elbo: seed must lie in"),
        ({"gradient_draws": 1}, "gradient_draws must be at least 2, or 0 for none, got 1"),
        ({"evaluation": {"num_sample": 1}}, r"evaluation has no .*did you mean 'num_samples'\?"),
        ({"evaluation": {"num_samples": 0}}, "evaluation: num_samples must be at least 1, got 0"),
        ({"evaluation": {"split": "tset"}}, "evaluation: split must be one of train, valid, test"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(UserError, match=message):
        grid_of(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out: [", r"cannot read \S+grid.yaml \(line \d\): "),
        ("- out", r"grid.yaml is not a mapping"),
        ("out: a\naxes: {x: {a: {}, a: {epochs: 3}}}", r"line 2\): a is given twice"),
        ("out: a\nsettings: {epoch: 3}", r"grid.yaml, settings has no setting 'epoch'"),
    ],
)
def test_refused_files(tmp_path, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_grid(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"cannot read \S+none.yaml: No such file"):
        read_grid(tmp_path / "none.yaml")
