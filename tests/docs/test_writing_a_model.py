# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the page "Writing a model" shows runs as it stands, and is what the programs say."""

import re
import shlex
import shutil
import sys

import pytest
import torch

from pyro_textvae.cli.main import main
from tests.docs.test_programs import FOLDER, PROGRAMS

PAGE = (FOLDER.parent / "writing-a-model.md").read_text()
SMALL = "--num-sentences 60 --embedding-dim 4 --hidden-dim 5 --latent-dim 2".split()


def blocks(language, holding):
    return [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.S) if holding in text]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program_is_on_the_page_as_it_is(path):
    assert f"(programs/{path.name})" in PAGE
    lines = [line.strip() for line in path.read_text().splitlines()]
    for block in blocks("python", f"# programs/{path.name}"):
        shown = [line.strip() for line in block.splitlines()[1:] if line.strip()]
        assert [line for line in shown if line not in lines] == []


def test_contract_is_a_program_that_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (source,) = blocks("python", "# mine.py")
    (tmp_path / "mine.py").write_text(source)
    (commands,) = blocks("sh", "mine.py:MyVAE")
    train, evaluate, sample = (shlex.split(line)[1:] for line in commands.strip().splitlines())
    assert main([*train, *SMALL]) == 0
    assert main([*evaluate, "--proposal", "guide"]) == 0
    assert main(sample) == 0
    assert "nll, K = 50" in capsys.readouterr().out
    names = {}
    exec(source, names)
    (check,) = blocks("python", "check_model(model)")
    exec(check, names)


@pytest.fixture
def in_copy(tmp_path, monkeypatch):
    """In a copy of the programs' folder, from which they are imported by their names."""
    shutil.copytree(FOLDER, tmp_path / "programs")
    monkeypatch.chdir(tmp_path / "programs")
    monkeypatch.syspath_prepend(tmp_path / "programs")
    yield
    for path in PROGRAMS:
        sys.modules.pop(path.stem, None)


def test_labels_train_by_svi_with_the_label_summed_out_and_become_a_run(in_copy, capsys):
    names = {}
    (svi,) = blocks("python", "SVI(model")
    exec(svi, names)
    assert main(["evaluate", "runs/labels", "--num-samples", "20", "--proposal", "guide"]) == 0
    (nuts,) = blocks("python", "NUTS(model")
    exec(nuts, names)
    draws = names["mcmc"].get_samples()["z"]
    assert draws.shape == (20, 3, 2)
    assert torch.isfinite(draws).all()
    capsys.readouterr()


def test_labels_train_with_the_label_summed_out_by_the_command_line(in_copy, capsys):
    (command,) = blocks("sh", "TraceEnum_ELBO")
    small = [*SMALL[2:], "--epochs", "1", "--out", "runs/enumerated"]
    assert main([*shlex.split(command)[1:], *small]) == 0
    assert "TraceEnum_ELBO" in capsys.readouterr().out
