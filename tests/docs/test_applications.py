# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What docs/applications.md and docs/worlds.md show runs as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from pyro_textvae.cli.main import main
from pyro_textvae.data import load_corpus
from pyro_textvae.grid.definition import read_grid

ROOT = Path(__file__).parent.parent.parent
APPLICATIONS = (ROOT / "docs" / "applications.md").read_text()
WORLDS = (ROOT / "docs" / "worlds.md").read_text()


def block(page, language, holding):
    (found,) = [
        text for text in re.findall(rf"```{language}\n(.*?)```", page, re.S) if holding in text
    ]
    return found


def test_program_of_a_readers_own_with_a_source(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = block(APPLICATIONS, "python", "# mine.py")
    assert len(source.splitlines()) < 50
    Path("mine.py").write_text(source)
    commands = block(APPLICATIONS, "sh", "mine.py:TopicReply").strip().splitlines()
    train, evaluate, sample = (shlex.split(line)[1:] for line in commands)
    small = "--num-sentences 60 --embedding-dim 4 --hidden-dim 5 --latent-dim 2".split()
    assert main([*train, *small]) == 0
    assert main(evaluate) == 0
    assert "excess over the truth" in capsys.readouterr().out
    assert main(sample) == 0
    assert capsys.readouterr().out.startswith("source  do you know the opera\ntext    ")


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "worlds").glob("*.yaml")))
def test_grids_of_the_worlds_are_settings_that_there_are(path):
    runs = read_grid(path).runs
    assert {run.config.data for run in runs} == {f"world:{path.stem}"}
    assert len({run.cell for run in runs}) >= 2, "a row alone is held against nothing"


def test_python_of_the_worlds(capsys):
    exec(block(WORLDS, "python", "load_corpus"), {})
    assert "6.7329" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "entropy"),
    re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d.]+)", WORLDS.split("## Options")[0], re.M),
)
def test_entropies_that_are_told_are_those_of_the_worlds(name, entropy):
    """By 300 draws where there is no closed form: |z| < 4.5."""
    world = load_corpus(f"world:{name}", num_sentences=20).world
    value, error = world.conditional_entropy(300)
    assert abs(value - float(entropy)) < 4.5 * error + 5e-4


def test_options_that_are_told_are_those_that_there_are():
    from pyro_textvae import zoo

    told, world = {}, ""
    for name, option in re.findall(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \|", WORLDS, re.M):
        world = name or world
        told.setdefault(world, set()).add(option)
    for name in zoo.names("worlds"):
        accepted = set(zoo.parameters(zoo.load("worlds", name)))
        assert told.get(name, set()) == accepted, name
