# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the text of a flag or a file becomes a value."""

import re
from dataclasses import fields
from types import NoneType
from typing import get_args, get_type_hints

import pytest

from pyro_textvae.cli.assess import AssessOptions
from pyro_textvae.cli.compare import CompareOptions
from pyro_textvae.cli.compress import CompressOptions
from pyro_textvae.cli.decompress import DecompressOptions
from pyro_textvae.cli.evaluate import EvaluateOptions
from pyro_textvae.cli.explore import ExploreOptions
from pyro_textvae.cli.interpolate import InterpolateOptions
from pyro_textvae.cli.main import main
from pyro_textvae.cli.parsing import parse
from pyro_textvae.cli.prepare import PrepareOptions
from pyro_textvae.cli.reconstruct import ReconstructOptions
from pyro_textvae.cli.refit import RefitOptions
from pyro_textvae.cli.report import ReportOptions
from pyro_textvae.cli.sample import SampleOptions
from pyro_textvae.cli.train import TrainOptions
from pyro_textvae.errors import UserError

COMMANDS = {
    "prepare": PrepareOptions,
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "sample": SampleOptions,
    "reconstruct": ReconstructOptions,
    "interpolate": InterpolateOptions,
    "assess": AssessOptions,
    "explore": ExploreOptions,
    "compare": CompareOptions,
    "report": ReportOptions,
    "refit": RefitOptions,
    "compress": CompressOptions,
    "decompress": DecompressOptions,
}


@pytest.mark.parametrize("text", ["null", "#1", "#metoo is trending", "yes", "1e3", "[a]", "{", ""])
@pytest.mark.parametrize(
    ("command", "name"),
    [("evaluate", "data"), ("reconstruct", "text"), ("compare", "out"), ("train", "model")],
)
def test_text_stays_text(command, name, text, tmp_path):
    for arguments in ([f"--{name}={text}"], [f"--{name}", text]):
        options, given = parse(COMMANDS[command], command, arguments)
        assert (getattr(options, name), given) == (text, {name})
    (tmp_path / "settings.yaml").write_text(f"{name}: '{text}'\n")
    options, _ = parse(COMMANDS[command], command, ["--config", str(tmp_path / "settings.yaml")])
    assert getattr(options, name) == text


def test_text_may_begin_with_hyphens():
    options, _ = parse(ReconstructOptions, "reconstruct", ["--text", "-- he said"])
    assert options.text == "-- he said"


def test_text_in_a_mapping_stays_text_and_numbers_are_numbers():
    text = '{"a": "null", "b": "#1", "c": 1e-3, "d": null}'
    options, _ = parse(TrainOptions, "train", ["--options", text, "--options.e=2"])
    assert options.options == {"a": "null", "b": "#1", "c": 0.001, "d": None, "e": 2}


@pytest.mark.parametrize("command", COMMANDS)
def test_null_is_for_settings_that_may_be_left_open(command, tmp_path):
    options = COMMANDS[command]
    types = get_type_hints(options)
    path = tmp_path / "settings.yaml"
    for each in fields(options):
        path.write_text(f"{each.name}: null\n")
        if NoneType in get_args(types[each.name]):
            read, _ = parse(options, command, [f"--config={path}"])
            assert getattr(read, each.name) is None
        else:
            with pytest.raises(UserError, match=f"--{each.name.replace('_', '-')} must be .* null"):
                parse(options, command, [f"--config={path}"])


@pytest.mark.parametrize("flag", ["--jobs=null", "--overwrite=null", "--runs=null"])
def test_null_as_a_flag(flag):
    with pytest.raises(UserError, match="must be "):
        parse(CompareOptions, "compare", [flag])


@pytest.mark.parametrize(
    ("text", "value"),
    [("False", False), ("no", False), ("OFF", False), ("0", False), ("True", True), ("1", True)],
)
def test_usual_spellings_of_true_and_false(text, value):
    for arguments in (["--truncate", text], [f"--truncate={text}"]):
        assert parse(TrainOptions, "train", arguments)[0].truncate is value


def test_negative_number_is_a_value():
    with pytest.raises(UserError, match=r"learning_rate must be positive, got -0\.001"):
        parse(TrainOptions, "train", ["--learning-rate", "-1e-3"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --epochs 1 --epochs=2", "--epochs is given twice, as 1 and as 2: give it once"),
        ("train --kl-weight 1 --kl_weight 1", "--kl-weight is given twice, as 1 and as 1"),
        ("sample a --run b", "--run is given twice, as a and as b"),
        ("train --config a.yaml --config b.yaml", "epochs is given by both a.yaml and b.yaml"),
        ("train --config twice.yaml", "epochs is given twice, in lines 1 and 3"),
        ("train --config merged.yaml", "epochs is given twice, in lines 1 and 2"),
    ],
)
def test_setting_named_twice(capsys, tmp_path, arguments, message):
    texts = {
        "a": "epochs: 1\n",
        "b": "seed: 1\nepochs: 2\n",
        "twice": "epochs: 1\nseed: 2\nepochs: 3\n",
        "merged": "<<: {epochs: 1}\nepochs: 3\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    assert main(arguments.split()) == 2
    assert message in capsys.readouterr().err


def test_settings_are_printed_as_a_file(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--epochs", "3", "--print_config"])
    assert "epochs: 3\n" in capsys.readouterr().out


def test_tilde_is_the_home_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "settings.yaml").write_text("data: ~/text.txt\n")
    options, _ = parse(TrainOptions, "train", ["--out=~/run", "--config=~/settings.yaml"])
    assert (options.out, options.data) == (f"{tmp_path}/run", f"{tmp_path}/text.txt")
    options, _ = parse(ReportOptions, "report", ['--runs=["~/a", "b"]'])
    assert options.runs == [f"{tmp_path}/a", "b"]
    with pytest.raises(UserError, match=r"--out ~nosuchuser/x: .* Write the path in full"):
        parse(TrainOptions, "train", ["--out=~nosuchuser/x"])
    assert parse(ReconstructOptions, "reconstruct", ["--text=~ hi"])[0].text == "~ hi"


@pytest.mark.parametrize("value", ["7" * 5000, "2001-13-45", "!!int seven", "!!bool perhaps"])
def test_value_that_python_does_not_have(capsys, tmp_path, value):
    path = tmp_path / "settings.yaml"
    path.write_text(f"data: grammar\nepochs: {value}\n")
    for arguments, message in (
        (["--config", str(path)], rf"--config {path} \(line 2\): the value cannot be read: "),
        (["--options.a", value], "train: --options.a: the value cannot be read: "),
        (["--epochs", value], "epochs must be "),
    ):
        assert main(["train", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(message, line)
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"out: here\nseeds: {value}\n")
    assert main(["compare", str(grid)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the value cannot be read" in line
