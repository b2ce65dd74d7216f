# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs in folders of their own, taken together as rows over seeds, printed and in a report."""

import json
import shutil

import pytest

from pyro_textvae.cli.main import main
from pyro_textvae.grid.finished_runs import grid_of_runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory, run, language_model_run):
    """A language model and a VAE, evaluated; other seeds are copies that say so."""
    folder = tmp_path_factory.mktemp("runs")
    for name, made in {"lm": language_model_run, "vae": run}.items():
        first = folder / f"{name}-seed0"
        shutil.copytree(made, first)
        assert main(["evaluate", str(first), "--num-samples", "10", "--proposal", "guide"]) == 0
        second = folder / f"{name}-seed1"
        shutil.copytree(first, second)
        contents = json.loads((second / "config.json").read_text())
        contents["settings"]["seed"] = 1
        (second / "config.json").write_text(json.dumps(contents))
    return folder


def test_runs_that_differ_by_seed_are_one_row(trained):
    grid = grid_of_runs(sorted(trained.iterdir()), reference=str(trained / "lm-seed1"))
    assert [(run.cell, run.config.seed) for run in grid.runs] == [
        ("lm", 0),
        ("lm", 1),
        ("vae", 0),
        ("vae", 1),
    ]
    assert grid.reference == "lm"


def test_refitted_run_is_a_row_that_was_not_trained(trained, tmp_path, succeeds):
    """By how it was fitted, told apart from another fit of the same settings."""
    for target in ("aggregate", "likelihood"):
        out = tmp_path / f"{target}-seed0"
        succeeds(
            *("refit", trained / "vae-seed0", "--out", out, "--target", target),
            *("--options.num_components", 1, "--num-train-sentences", 6),
            *("--num-sentences", 8, "--num-samples", 20),
        )
        succeeds("evaluate", out, "--num-samples", 10, "--proposal", "guide")
    second = tmp_path / "aggregate-seed1"
    shutil.copytree(tmp_path / "aggregate-seed0", second)
    contents = json.loads((second / "config.json").read_text())
    # As if the held-out sentences of each seed had chosen.
    for folder, number in ((tmp_path / "aggregate-seed0", 1), (second, 2)):
        contents["settings"]["seed"] = number - 1
        contents["settings"]["options"]["num_components"] = number
        contents["refit"]["chosen_by_held_out"] = ["num_components"]
        (folder / "config.json").write_text(json.dumps(contents))
    runs = [*sorted(trained.iterdir()), *sorted(tmp_path.iterdir())]
    cells = [run.cell for run in grid_of_runs(runs).runs]
    assert cells == ["lm", "lm", "vae", "vae", "aggregate", "aggregate", "likelihood"]
    printed = succeeds("compare", "--over-seeds", *runs, "--num-resamples", 1000)
    assert "4 cells, seeds 0, 1" in printed


def test_table_and_figure_of_folders(trained, tmp_path, succeeds, cli):
    runs = sorted(trained.iterdir())
    out, figure = tmp_path / "table.json", tmp_path / "figure.png"
    told = ["--over-seeds", "--reference", "lm", "--num-resamples", 1000]
    printed = succeeds("compare", *runs, *told, "--out", out, "--figure", figure)
    assert "2 cells, seeds 0, 1" in printed
    assert "nll less that of lm" in printed
    assert json.loads(out.read_text())["reference"] == "lm"
    assert figure.read_bytes().startswith(b"\x89PNG")
    figure.unlink()
    status, printed, beside = cli("compare", *runs, *told, "--json", "true", "--figure", figure)
    assert status == 0
    assert json.loads(printed)["reference"] == "lm"
    assert beside == f"drawn in {figure}\n"


def test_report_shows_rows_over_seeds_with_their_figure(trained, tmp_path, succeeds):
    runs = sorted(trained.iterdir())
    succeeds("report", *runs, "--over-seeds", "--reference", "lm", "--out", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "Configurations over their seeds" in page
    assert "nll less that of lm" in page
    assert "Paired differences between runs" not in page
    assert (tmp_path / "information.png").read_bytes().startswith(b"\x89PNG")


def test_runs_may_stand_anywhere(trained, tmp_path, succeeds, check_refused):
    lm, vae = trained / "lm-seed0", trained / "vae-seed0"
    told = ["--reference", "lm", "--num-resamples", 1000]
    first = succeeds("compare", lm, vae, "--over-seeds", *told)
    assert succeeds("compare", "--over-seeds", lm, *told, vae) == first
    assert succeeds("compare", "--over-seeds", "true", lm, vae, *told) == first
    succeeds("report", "--over-seeds", lm, vae, "--out", tmp_path)
    assert "Configurations over their seeds" in (tmp_path / "report.html").read_text()
    grid = tmp_path / "grid.yaml"
    check_refused(f"cannot read {grid}", "compare", "--jobs", 2, grid)
    check_refused("is beside --runs", "compare", lm, "--runs", json.dumps([str(vae)]))


def test_numbers_of_runs_whose_weights_are_not_kept(trained, tmp_path, succeeds):
    runs = sorted(trained.iterdir())
    numbers = tmp_path / "numbers"
    for run in runs:
        shutil.copytree(
            run, numbers / run.name, ignore=shutil.ignore_patterns("*.safetensors", "*.pt", "tok*")
        )
    told = ["--over-seeds", "--reference", "lm", "--num-resamples", 1000]
    without = sorted(numbers.iterdir())
    assert succeeds("compare", *without, *told) == succeeds("compare", *runs, *told)
    succeeds("report", *without, "--over-seeds", "--out", tmp_path)
    assert "Configurations over their seeds" in (tmp_path / "report.html").read_text()


def test_what_is_refused(trained, tmp_path, check_refused):
    lm, vae = trained / "lm-seed0", trained / "vae-seed0"
    check_refused("--sort is for rows over seeds", "compare", lm, vae, "--sort", "kl")
    check_refused("must end in .png", "compare", lm, vae, "--over-seeds", "--figure", "f.svg")
    check_refused(
        "'x' is no cell of the grid", "compare", lm, vae, "--over-seeds", "--reference", "x"
    )
    check_refused("give --over-seeds with it", "report", lm, vae, "--reference", "lm")
    copy = tmp_path / "again"
    shutil.copytree(vae, copy)
    check_refused("with one seed, 0: leave one", "compare", vae, copy, "--over-seeds")
    same_name = tmp_path / "lm-seed0"
    shutil.copytree(vae, same_name)
    check_refused("a folder of the name lm-seed0", "compare", lm, same_name, "--over-seeds")
    contents = json.loads((copy / "config.json").read_text())
    contents["settings"]["epochs"] = 3
    (copy / "config.json").write_text(json.dumps(contents))
    check_refused("has not been trained to its end", "compare", lm, copy, "--over-seeds")
