# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How settings reach a command, and the command as a process of its own."""

import json
import re
import subprocess
import sys

import pytest

from pyro_textvae.cli.main import COMMANDS, main
from tests.cli.conftest import TINY


def settings_of(run):
    return json.loads((run / "config.json").read_text())["settings"]


def process(*arguments, options=()):
    return subprocess.run(
        [sys.executable, *options, "-m", "pyro_textvae.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_flags_with_hyphens_or_underscores(succeeds, train, new):
    succeeds(*train, "--embedding_dim", "3", "--hidden-dim=6", "--word_dropout=0.25")
    settings = settings_of(new)
    given = (settings["embedding_dim"], settings["hidden_dim"], settings["word_dropout"])
    assert given == (3, 6, 0.25)


@pytest.mark.parametrize("file_first", [True, False])
def test_flags_override_the_file(succeeds, corpus, new, tmp_path, file_first):
    path = tmp_path / "settings.yaml"
    path.write_text("embedding_dim: 3\nhidden_dim: 6\nlatent_dim: 1\nepochs: 1\n")
    given = [["--config", path], ["--hidden-dim", "7"]]
    first, second = given if file_first else reversed(given)
    succeeds("train", *first, "--data", corpus, "--out", new, *second)
    settings = settings_of(new)
    assert (settings["embedding_dim"], settings["hidden_dim"], settings["epochs"]) == (3, 7, 1)


def test_settings_of_a_run_are_a_configuration_file(succeeds, run, new):
    succeeds("train", "--config", run / "config.yaml", "--out", new)
    assert settings_of(new) == settings_of(run)
    assert (new / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_bare_switches(succeeds, train, new):
    succeeds(*train, "--truncate", "--max-length", "4")
    settings = settings_of(new)
    assert (settings["truncate"], settings["max_length"]) == (True, 4)
    succeeds(*train[:1], "--overwrite", *train[1:], "--truncate", "false")
    assert settings_of(new)["truncate"] is False


def test_options_reach_the_part_that_names_them(succeeds, train, new):
    succeeds(*train, "--options", '{"num_layers": 2}')
    assert settings_of(new)["options"] == {"num_layers": 2}


def test_every_command_on_a_run(succeeds, train, new):
    succeeds(*train)
    assert "nats per sentence" in succeeds(
        "evaluate", new, "--num-samples", "2", "--proposal", "guide"
    )
    assert (new / "evaluation.json").is_file()
    assert len(succeeds("sample", new, "--size", "4").splitlines()) == 4
    assert succeeds("reconstruct", new, "--text", "the cat sat").startswith("from  the cat sat\n")
    walk = succeeds("interpolate", new, "--start", "the cat", "--end", "the dog", "--steps", "3")
    assert [line[:4].strip() for line in walk.splitlines()] == ["from", "", "", "", "to"]


def test_evaluate_writes_where_it_is_told(succeeds, run, tmp_path):
    succeeds(
        "evaluate",
        run,
        "--num-samples",
        "2",
        "--proposal",
        "guide",
        "--out",
        tmp_path / "mine.json",
    )
    assert json.loads((tmp_path / "mine.json").read_text())["num_samples"] == 2
    assert not (run / "evaluation.json").exists()


def test_default_folder_is_named_after_data_and_model(succeeds, corpus, tmp_path):
    succeeds("train", "--data", corpus, *TINY)
    assert (tmp_path / "runs" / "toy-sentence_vae" / "model.safetensors").is_file()


def test_process_exits_with_one_line():
    done = process("sample", "no_such_run")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"pyro-textvae: error: no_such_run is not a run .*\n", done.stderr)


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_does_not_import_torch(arguments):
    done = process(*arguments, options=["-X", "importtime"])
    assert done.returncode == 0
    assert done.stdout.startswith("usage: pyro-textvae")
    assert "pyro_textvae.cli" in done.stderr
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_every_setting(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    entries = re.split(r"\n  (?=--)", capsys.readouterr().out)[1:]
    names_and_values = re.compile(r"--[\w-]+\+?|[A-Z_]+|\[ITEM,\.\.\.\]|\{[^}]*\}|,")
    silent = [
        entry.split()[0]
        for entry in entries
        if "(type:" in entry and not names_and_values.sub("", entry.partition("(type:")[0]).strip()
    ]
    assert silent == []
