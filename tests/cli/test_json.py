# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``--json``: standard output is JSON and nothing else."""

import json
import shutil
from dataclasses import fields
from importlib import import_module

import pytest

from pyro_textvae.cli.main import COMMANDS, main
from pyro_textvae.cli.output import print_table
from pyro_textvae.cli.parsing import parse

PRINTS_NO_TABLE = {"train", "report", "decompress", "embed", "explore"}


def options_of(command):
    module = import_module(f"pyro_textvae.cli.{command}")
    (name,) = [n for n in vars(module) if n.lower() == f"{command}options"]
    return getattr(module, name)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - PRINTS_NO_TABLE))
def test_every_command_that_prints_a_table_prints_json(command):
    options = options_of(command)
    read, _ = parse(options, command, ["--json"])
    names = {each.name for each in fields(options)}
    assert read.json is True if "json" in names else read.format == "jsonl"


def test_numbers_that_json_does_not_have(capsys):
    print_table("a table", {"nll": float("nan"), "a": [1.5]}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"nll": None, "a": [1.5]}
    print_table("a table", {}, as_json=False)
    assert capsys.readouterr().out == "a table\n"


def test_evaluate_and_sample(run, tmp_path, capsys):
    trained = shutil.copytree(run, tmp_path / "run")
    arguments = ["--num-samples", "10", "--report=false", "--json"]
    assert main(["evaluate", str(trained), *arguments]) == 0
    printed = capsys.readouterr()
    numbers = json.loads(printed.out)
    stored = json.loads((trained / "evaluation.json").read_text())
    assert numbers["nll"] == stored["nll"]
    assert "written to" in printed.err
    assert main(["sample", str(trained), "--size", "2", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2
