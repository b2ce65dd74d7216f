# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every program of ``docs/programs`` does all that "Writing a model" says of programs.

A program is a file of that folder. Its docstring has the command that trains it and, where they
are not the usual ones, a line ``Objectives: ...``. What is refused for it has a line of its own,
``Refused: COMMAND: what the error says``.
"""

import re
import shlex
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

import pyro_textvae as tv
from pyro_textvae.cli.main import main
from pyro_textvae.config import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.proposals import AnnealedProposal
from pyro_textvae.grid import run_grid
from pyro_textvae.infer import FunctionProgram
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.runs.build import build_pair
from pyro_textvae.testing import check_guide, check_model
from tests.docs.exact import log_px

FOLDER = Path(__file__).parents[2] / "docs" / "programs"
PROGRAMS = sorted(FOLDER.glob("*.py"))
# Of models that must be made first; it has a test of its own, in tests/runs.
PRETRAINED = "pretrained"
SIZES = {"embedding_dim": 3, "hidden_dim": 4, "latent_dim": 1}
SMALL = SIZES | {"data": "letters", "batch_size": 12, "epochs": 1}
OBJECTIVES = ("beta_elbo", "iwae", "dreg")
Z = 4.5
ANNEALED = AnnealedProposal(threshold=0.5, pilot_particles=16, leapfrog_steps=1)


class Program:
    """What the docstring of a file says."""

    def __init__(self, path):
        text = path.read_text()
        (command,) = re.findall(r"^ *pyro-textvae train (.*?)(?:\n\n|\"\"\")", text, re.M | re.S)
        words = shlex.split(command.replace("\\\n", " ").replace("docs/programs/", ""))
        names = (word.removeprefix("--").replace("-", "_") for word in words[::2])
        given = dict(zip(names, map(yaml.safe_load, words[1::2]), strict=True))
        given.pop("out", None)
        self.settings = given | SMALL
        named = re.search(r"^Objectives: (.*)\.$", text, re.M)
        self.objectives = named[1].split(", ") if named else OBJECTIVES
        self.refused = dict(re.findall(r"^Refused: (.+?): (.+)$", text, re.M))
        code = text.split('"""', 2)[2].splitlines()
        self.lines = [line for line in code if line.strip()]


@pytest.fixture(autouse=True)
def in_copy_of_folder(tmp_path, monkeypatch):
    shutil.copytree(FOLDER, tmp_path / "programs", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "programs")


@pytest.mark.parametrize(
    "path", [path for path in PROGRAMS if path.stem != PRETRAINED], ids=lambda path: path.stem
)
def test_program(path, tmp_path, capsys):
    program = Program(path)
    assert 15 <= len(program.lines) <= 90
    runs = trained_and_compared(program, tmp_path)
    resumed_bit_for_bit(program, runs[0], tmp_path)
    model, guide, _ = tv.load_run(runs[0])
    corpus_settings = ("data", "text_column", "source_column", "label_column")
    text = {n: program.settings[n] for n in corpus_settings[1:] if n in program.settings}
    corpus = tv.load_corpus(program.settings["data"], **text)
    (batch,) = corpus.batches("test", batch_size=8, shuffle=False)
    keeps_the_contract(program, corpus, batch)
    has_globals = scored_right(model.double(), guide.double(), batch)
    flags = ["--num-global-draws", "4"] if has_globals else []
    commands_run_or_are_refused(program, runs[0], {"evaluate": flags}, capsys)


def trained_and_compared(program, tmp_path):
    """A grid of the objectives: it trains and evaluates each, and makes the table."""
    settings = {n: v for n, v in program.settings.items() if n != "objective"}
    description = {
        "out": str(tmp_path / "grid"),
        "settings": {"num_particles": 2} | settings,
        "axes": {"objective": list(program.objectives)},
        "evaluation": {"num_samples": 4, "proposal": "guide"},
        "gradient_draws": 0,
    }
    table = run_grid(description, num_resamples=1000, report=lambda line: None)
    assert not table["failures"]
    assert {row["cell"] for row in table["rows"]} == set(program.objectives)
    said = program.refused.pop("compare", None)
    assert table["no_differences"] is None if said is None else said in table["no_differences"]
    return [tmp_path / "grid" / f"{name}-seed0" for name in program.objectives]


def resumed_bit_for_bit(program, run, tmp_path):
    """One epoch and then another are two epochs."""
    whole = tmp_path / "whole"
    flags = flags_of(program, objective=program.objectives[0], epochs=2, out=whole)
    assert main(["train", *flags]) == 0
    assert main(["train", "--resume", str(run), "--epochs", "2"]) == 0
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def flags_of(program, **changes):
    settings = {"num_particles": 2} | program.settings | changes
    return [word for n, v in settings.items() for word in (f"--{n.replace('_', '-')}", str(v))]


def keeps_the_contract(program, corpus, batch):
    """With room for text of its own and for padding."""
    condition = {name: field for name, field in batch.items() if name != "tokens"}
    condition = condition or len(batch["tokens"])
    sizes = {"vocab_size": len(corpus.tokenizer), "max_length": 7}
    pair = build_pair(TrainConfig(**program.settings), sizes, condition=condition)
    for each in (pair.guide, pair.model):
        if isinstance(each, FunctionProgram):
            each.collect(fields_of(each, batch))
    check_model(pair.model, condition=condition)
    said = program.refused.pop("check_guide", None)
    refusal = nullcontext() if said is None else pytest.raises(UserError, match=re.escape(said))
    with refusal:
        check_guide(pair.guide, pair.model, condition=condition)


def scored_right(model, guide, batch):
    """Against the sum over a grid; by annealing, for two steps do not make a good guide.

    Whether there are global latents is returned.
    """
    exact, exact_error = log_px(model, guide, batch)
    has_globals = bool(exact_error.any())
    count, more = (64, {"num_global_draws": 8}) if has_globals else (256, {})
    found = log_likelihood(model, guide, [dict(batch)], count, proposal=ANNEALED, **more)
    # The sum over a grid is of the labels that are given, too.
    sums = found.summed_out
    estimate = found.log_px if sums is None else sums.log_given
    error = found.standard_error if sums is None else sums.log_given_error
    difference = estimate - exact
    variance = error.square() + exact_error.square()
    assert (difference.abs() < Z * variance.sqrt() + 1e-6).all(), (difference, variance.sqrt())
    if not has_globals:  # else sentences share their draws, and do not add up
        assert abs(difference.sum()) < Z * variance.sum().sqrt() + 1e-6
    return has_globals


COMMANDS = {
    "sample": ["sample --size 4"],
    "reconstruct": ["reconstruct", "reconstruct --method ancestral"],
    "interpolate": ["interpolate", "interpolate --method ancestral"],
    "evaluate": ["evaluate --num-samples 20"],
}
"""What is expected to run, and what else where the file says that it is refused."""


def commands_run_or_are_refused(program, run, flags, capsys):
    for name, ways in COMMANDS.items():
        for command in ways:
            said = program.refused.pop(command, None)
            status, printed = called(command, run, flags.get(name, []), capsys)
            if said is None:
                assert (status, printed.err) == (0, ""), printed.err
                assert printed.out.strip()
                break
            assert (status, said in printed.err) == (2, True), printed.err
    for command, said in program.refused.items():
        objective = command.removeprefix("--objective ")
        assert objective != command, "nothing of this name is tried"
        assert main(["train", *flags_of(program, objective=objective, out=run.parent / "no")]) == 2
        assert said in capsys.readouterr().err


def called(command, run, further, capsys):
    name, *flags = command.split()
    capsys.readouterr()
    status = main([name, str(run), *flags, *further])
    return status, capsys.readouterr()
