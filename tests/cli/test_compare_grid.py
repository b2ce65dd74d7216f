# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae compare GRID.yaml``."""

import json

import pytest
import yaml

SETTINGS = {"embedding_dim": 4, "hidden_dim": 5, "latent_dim": 2, "epochs": 1}


@pytest.fixture
def grid(corpus, tmp_path):
    """A grid of one good cell and, where it is asked for, one that fails."""

    def write(*bad, **changes):
        members = {"good": {}} | {name: {"procedure": "pretrained_encoder"} for name in bad}
        content = {
            "out": "out",
            "settings": {"data": str(corpus), **SETTINGS},
            "axes": {"kind": members},
            "evaluation": {"num_samples": 2, "proposal": "guide"},
            "gradient_draws": 2,
        }
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(content | changes))
        return path

    return write


def test_grid_by_position_or_by_flag(succeeds, grid, tmp_path):
    path = grid()
    printed = succeeds("compare", path, "--num-resamples", 1000)
    assert printed.startswith("1 runs of 1 cells in out, 0 of them finished\n")
    assert "| good |" in printed
    assert printed.endswith("written to out/table.md, table.csv and table.json\n")
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert table["command"] == f"pyro-textvae compare {path} --num-resamples 1000"
    out = tmp_path / "copy.json"
    again = succeeds("compare", "--grid", path, "--num-resamples", 1000, "--seed", 3, "--out", out)
    assert again.startswith("1 runs of 1 cells in out, 1 of them finished\n")
    assert again.endswith(f"written to {out}\n")
    assert json.loads(out.read_text())["bootstrap"]["seed"] == 3


def test_failed_run_is_status_one(cli, grid):
    status, out, err = cli("compare", grid("bad"), "--num-resamples", 1000)
    assert (status, err) == (1, "")
    assert "1 of 2 runs failed:\n\n- bad-seed0: pretrain_epochs=10 leaves none of 1 epochs" in out


def test_refusals(check_refused, grid, run, tmp_path):
    path = grid()
    check_refused("cannot read .*none.yaml: No such file", "compare", tmp_path / "none.yaml")
    check_refused("runs or a grid, not both", "compare", run, run, "--grid", path)
    check_refused("--jobs is for a grid", "compare", run, run, "--jobs", 2)
    check_refused("--overwrite is for a grid", "compare", run, run, "--overwrite")
    check_refused("jobs must be at least 1, got 0", "compare", path, "--jobs", 0)
    other = grid(evaluation={"num_samples": 10, "data": "none.txt"})
    check_refused("evaluation: no such corpus: 'none.txt'", "compare", other)
    (tmp_path / "long.txt").write_text("the cat sat " * 40 + "\n")
    other = grid(evaluation={"num_samples": 10, "data": str(tmp_path / "long.txt")})
    check_refused("evaluation: .*long.txt has a sentence of 121 tokens", "compare", other)
    assert not (tmp_path / "out").exists()
    check_refused("num_resamples must be at least 1000", "compare", path, "--num-resamples", 999)
    check_refused("is the grid itself: choose another", "compare", path, "--out", path)
    check_refused("no folder .*none to write", "compare", path, "--out", tmp_path / "none" / "x")
    check_refused(r"'axs': did you mean 'axes'\?", "compare", grid(axs={}))
    check_refused(r"cell good: latent_dim must be at least 0", "compare",
                  grid(settings=SETTINGS | {"latent_dim": -1}))  # fmt: skip
    assert not (tmp_path / "out").exists()
