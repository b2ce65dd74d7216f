# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs of a user's own, from a file, under every objective that claims to take them."""

import math
from pathlib import Path

import pytest
import torch

from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import train

PROGRAMS = Path(__file__).parents[1] / "programs"
HIERARCHY = ("hierarchy.py:HierarchyVAE", "hierarchy.py:HierarchyGuide")
DISCRETE = ("discrete.py:TopicVAE", "discrete.py:TopicGuide")
TAKES_DISCRETE = ["thermodynamic_elbo", "vimco", "wake_sleep"]
PATHWISE = "beta_elbo ciwae dreg iwae miwae piwae renyi_iwae stl".split()


def settings(programs, objective, **options):
    model, guide = (str(PROGRAMS / name) for name in programs)
    return TrainConfig(
        data="grammar",
        num_sentences=60,
        model=model,
        guide=guide,
        objective=objective,
        num_particles=4,
        embedding_dim=4,
        hidden_dim=5,
        latent_dim=3,
        epochs=1,
        kl_schedule="constant",
        embedding_dropout=0.0,
        output_dropout=0.0,
        options={"num_groups": 2} if objective in ("miwae", "piwae") else {},
        **options,
    )


@pytest.mark.parametrize(
    ("programs", "objective"),
    [(HIERARCHY, name) for name in (*PATHWISE, *TAKES_DISCRETE)]
    + [(DISCRETE, name) for name in TAKES_DISCRETE],
    ids=lambda value: value if isinstance(value, str) else value[0].partition(".")[0],
)
def test_program_trains_with_every_parameter_moved(programs, objective, tmp_path):
    config = settings(programs, objective)
    train(config, tmp_path / "run", report=lambda line: None)
    start = torch.load(tmp_path / "run" / "state" / "last.pt", weights_only=True)
    assert math.isfinite(start["progress"]["best_bound"])
    model, guide, _ = load_run(tmp_path / "run")
    steps = start["optimizer"]["state"]
    assert len(steps) == len([*model.parameters(), *guide.parameters()])
    for moments in steps.values():
        assert moments["exp_avg_sq"].sum() > 0


@pytest.mark.parametrize("objective", [*PATHWISE, "semi_amortised_elbo"])
def test_discrete_latent_is_refused_where_its_gradient_would_be_lost(objective, tmp_path):
    config = settings(DISCRETE, objective)
    with pytest.raises(UserError, match="latent site 'y' is"):
        train(config, tmp_path / "run", report=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_every_command_takes_a_discrete_latent(tmp_path, capsys):
    run = str(tmp_path / "run")
    train(settings(DISCRETE, "vimco"), run, report=lambda line: None)
    assert main(["evaluate", run, "--num-samples", "20", "--proposal", "guide"]) == 0
    for command in ("sample", "reconstruct", "interpolate"):
        assert main([command, run]) == 0
    assert "nll, K = 20" in capsys.readouterr().out
