# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``docs/programs/pretrained.py`` as its docstring has it, with models made on the spot."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import pyro_textvae as tv
from pyro_textvae.cli.main import main
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.grid import run_grid
from pyro_textvae.runs.train import resume
from tests.pretrained_folders import TEXTS

PROGRAM = Path(__file__).parents[2] / "docs" / "programs" / "pretrained.py"
OBJECTIVES = ("beta_elbo", "iwae", "dreg")
Z = 4.5


@pytest.fixture
def settings(pretrained, tmp_path, monkeypatch):
    """Those of the docstring, in a folder with what it names."""
    pytest.importorskip("peft", reason="the extra [hf] is not installed")
    monkeypatch.chdir(tmp_path)
    shutil.copy(PROGRAM, tmp_path)
    for name in ("gpt2", "bert"):
        shutil.copytree(pretrained(name), tmp_path / name)
    (tmp_path / "letters").mkdir()
    rows = ["text\tquestion", *(f"{a}\t{b}" for a, b in zip(TEXTS, TEXTS[::-1], strict=True))]
    for split in ("train", "valid", "test"):
        (tmp_path / "letters" / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    text = PROGRAM.read_text().split('"""')[1]
    words = shlex.split(re.search(r"^pyro-textvae train (.*)", text, re.M | re.S)[1])
    names = (word.removeprefix("--").replace("-", "_") for word in words[::2])
    given = dict(zip(names, map(yaml.safe_load, words[1::2]), strict=True))
    return given | {"latent_dim": 1, "epochs": 1, "device": "cpu"}


def exact(model, tokens, source):
    """log p(x | source) of each sentence, by quadrature over its one latent."""
    z = torch.linspace(-8, 8, 801, dtype=torch.double)
    memory = model.decoder.read(source)
    words = memory.mask.unsqueeze(-1)
    features = (memory.states * words).sum(-2) / words.sum(-2)
    loc, log_scale = model.prior(features).chunk(2, -1)
    points = loc + log_scale.exp() * z[:, None, None]
    log_px = model.decoder(points, memory).log_prob(tokens)
    weight = torch.distributions.Normal(0.0, 1.0).log_prob(z).unsqueeze(-1)
    return (log_px + weight).logsumexp(0) + (z[1] - z[0]).log()


def test_it_trains_is_scored_and_is_drawn_from(settings, tmp_path):
    description = {
        "out": str(tmp_path / "grid"),
        "settings": {"num_particles": 2} | settings,
        "axes": {"objective": list(OBJECTIVES)},
        "evaluation": {"num_samples": 4, "proposal": "guide"},
        "gradient_draws": 0,
    }
    table = run_grid(description, num_resamples=1000, report=lambda line: None)
    assert not table["failures"]
    assert {row["cell"] for row in table["rows"]} == set(OBJECTIVES)
    run = str(tmp_path / "grid" / "beta_elbo-seed0")
    resume(run, epochs=2, report=lambda line: None)
    model, guide, _ = tv.load_run(run)
    corpus = tv.load_corpus("letters", tokenizer="hf:gpt2", source_column="question")
    (batch,) = corpus.batches("test", shuffle=False)
    estimate = log_likelihood(model.double(), guide.double(), [batch], num_samples=400)
    with torch.no_grad():
        truth = exact(model, batch["tokens"], batch["source"])[batch.indices.argsort()]
    score = (estimate.log_px - truth) / estimate.standard_error.clamp(min=1e-6)
    assert score.abs().max() < Z
    assert main(["sample", run, "--size", "2"]) == 0
    assert main(["reconstruct", run, "--size", "2"]) == 0
