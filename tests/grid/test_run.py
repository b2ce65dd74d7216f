# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A whole grid on a tiny corpus: trained, evaluated, compared, stopped and gone on with."""

import csv
import json
import math
import re
import shutil

import pytest
import torch
import yaml
from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import gradient_signal
from pyro_textvae.grid.run import run_grid
from pyro_textvae.infer import BetaELBO
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.compare import compare_runs
from pyro_textvae.runs.load import load_run, load_run_corpus
from pyro_textvae.runs.train import train

SETTINGS = {
    "data": "grammar",
    "num_sentences": 150,
    "embedding_dim": 5,
    "hidden_dim": 6,
    "latent_dim": 2,
    "epochs": 1,
    "kl_epochs": 1,
    "device": "cpu",
}
AXES = {"guide": ["gaussian"], "objective": {"elbo": {}, "half": {"kl_weight": 0.5}}}


def grid_in(folder, **changes):
    return {
        "out": str(folder),
        "settings": SETTINGS,
        "axes": AXES,
        "seeds": [0],
        "evaluation": {"num_samples": 4, "proposal": "guide"},
        "gradient_draws": 3,
    } | changes


def quietly(grid, **options):
    lines = []
    return run_grid(grid, num_resamples=1000, report=lines.append, **options), lines


def times(folder, pattern):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob(pattern))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A grid of two cells and two seeds; no test may write into it."""
    folder = tmp_path_factory.mktemp("grids") / "grid"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        result, lines = quietly(grid_in(folder, seeds=[0, 1]), command="pyro-textvae compare g")
    return folder, result, lines


@pytest.fixture
def started(tmp_path):
    """A grid of one cell that is finished."""
    grid = grid_in(tmp_path / "grid", axes={})
    quietly(grid)
    return tmp_path / "grid", grid


def test_every_run_is_there_and_what_is_said_of_it(finished):
    folder, result, lines = finished
    names = ["elbo-seed0", "half-seed0", "elbo-seed1", "half-seed1"]
    assert lines[0] == f"4 runs of 2 cells in {folder}, 0 of them finished"
    starts = [line.split(": nll ")[0] for line in lines if ": nll " in line.partition("\n")[0]]
    assert starts == names
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(names)
    config = yaml.safe_load((folder / "half-seed1" / "config.yaml").read_text())
    assert (config["kl_weight"], config["seed"], config["epochs"]) == (0.5, 1, 1)
    assert not result["failures"]


def test_numbers_are_those_of_the_runs(finished):
    folder, result, _ = finished
    rows = {row["cell"]: row for row in result["rows"]}
    evaluations = {
        name: json.loads((folder / name / "evaluation.json").read_text())
        for name in ("half-seed0", "half-seed1")
    }
    for name in ("nll", "elbo", "kl", "active_units", "mutual_information"):
        mean = sum(each[name] for each in evaluations.values()) / 2
        assert rows["half"][name] == pytest.approx(mean)
    assert evaluations["half-seed0"]["settings"]["num_samples"] == 4
    signals = [
        json.loads((folder / name / "gradient_signal.json").read_text()) for name in evaluations
    ]
    assert rows["half"]["gradient_signal_guide"] == pytest.approx(
        sum(each["guide"] for each in signals) / 2
    )
    # As many sentences as a batch has, evenly spaced over the training split.
    assert {each["num_sentences"] for each in signals} == {32}


def test_gradient_is_of_the_end_of_training(finished):
    """The last weights, on sentences all over the split, at the KL weight that was arrived at."""
    folder, _, _ = finished
    run = RunFolder(folder / "half-seed0")
    model, guide, _ = load_run(run.path)
    with torch.no_grad():
        for parameter in (*model.parameters(), *guide.parameters()):
            parameter.zero_()
    state = run.load_state()
    nn.ModuleDict({"model": model, "guide": guide}).load_state_dict(state["modules"])
    train_split = load_run_corpus(run).train
    rows = [round(number * (len(train_split) - 1) / 31) for number in range(32)]
    batch = train_split.batch(rows)
    expected = gradient_signal(model, guide, BetaELBO(kl_weight=0.5), batch, 3, 0)
    found = json.loads((run.path / "gradient_signal.json").read_text())
    assert found["model"] == pytest.approx(expected.model, rel=1e-5)
    assert found["guide"] == pytest.approx(expected.guide, rel=1e-5)
    assert found["step"] == state["progress"]["step"]


def test_one_seed_differs_as_compare_says(finished, tmp_path):
    folder, _, _ = finished
    grid = grid_in(folder) | {"out": str(tmp_path / "one")}
    for name in ("elbo-seed0", "half-seed0"):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / name).symlink_to(folder / name)
    result, _ = quietly(grid)
    (found,) = result["differences"]
    pair = compare_runs([folder / f"{found[key]}-seed0" for key in "ab"], num_resamples=1000)
    for name in ("difference", "interval", "monte_carlo_error", "share_better"):
        assert found[name] == pair["pairs"][0][name]


def test_tables_are_written(finished):
    folder, result, lines = finished
    table = (folder / "table.md").read_text()
    assert table == lines[-2] + "\n"
    assert table.startswith("2 cells, seeds 0, 1, on grammar, test split: ")
    stored = json.loads((folder / "table.json").read_text())
    assert stored == json.loads(json.dumps(result))
    assert stored["command"] == "pyro-textvae compare g"
    assert stored["seeds"] == [0, 1]
    assert stored["grid"]["axes"] == AXES
    assert stored["corpus_fingerprint"]
    assert "packages" in stored["environment"]
    with open(folder / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in rows] == [row["cell"] for row in result["rows"]]
    assert float(rows[0]["nll"]) == result["rows"][0]["nll"]


def test_what_is_done_is_not_done_again(finished):
    folder, result, _ = finished
    before = times(folder, "*-seed*/**/*")
    again, lines = quietly(grid_in(folder, seeds=[0, 1]), command="pyro-textvae compare g")
    assert lines[0] == f"4 runs of 2 cells in {folder}, 4 of them finished"
    assert times(folder, "*-seed*/**/*") == before
    assert again == json.loads(json.dumps(result))


@pytest.fixture
def loads(monkeypatch):
    """Every load of a checkpoint."""
    paths = []
    load_state = RunFolder.load_state

    def load(folder):
        paths.append(folder.state)
        return load_state(folder)

    monkeypatch.setattr(RunFolder, "load_state", load)
    return paths


def test_finished_grid_opens_no_checkpoint(started, loads, monkeypatch):
    folder, grid = started
    monkeypatch.setattr(torch, "load", None)
    _, lines = quietly(grid)
    assert lines[0].endswith("1 of them finished")
    assert loads == []


def test_run_of_an_earlier_version_is_asked_by_its_checkpoint_once(started, loads):
    folder, grid = started
    run = RunFolder(folder / "run-seed0")
    run.progress.unlink()
    _, lines = quietly(grid)
    assert lines[0].endswith("1 of them finished")
    assert loads == [run.state]


@pytest.mark.parametrize("content", ['{"finished": true', "[]", '{"finished": true}'])
def test_progress_that_says_nothing_certain_is_not_believed(started, loads, content):
    folder, grid = started
    run = RunFolder(folder / "run-seed0")
    run.progress.write_text(content)
    _, lines = quietly(grid)
    assert lines[0].endswith("1 of them finished")
    assert loads == [run.state]


def test_progress_of_a_kill_before_it_was_written_is_not_believed(started, loads):
    """It lags behind the checkpoint then, whose word counts."""
    folder, grid = started
    run = RunFolder(folder / "run-seed0")
    before = json.loads(run.progress.read_text())
    run.progress.write_text(json.dumps(before | {"epoch": 0}))
    _, lines = quietly(grid)
    assert lines[0].endswith("1 of them finished")
    assert loads == [run.state]


def test_progress_is_written_after_every_checkpoint_and_says_the_same(tmp_path, monkeypatch):
    calls = []

    def recorded(name):
        plain = getattr(RunFolder, name)

        def call(folder, value):
            calls.append(name)
            plain(folder, value)

        return call

    for name in ("save_state", "write_progress"):
        monkeypatch.setattr(RunFolder, name, recorded(name))
    quietly(grid_in(tmp_path / "grid", axes={}, settings=SETTINGS | {"checkpoint_every": 2}))
    run = RunFolder(tmp_path / "grid" / "run-seed0")
    assert calls == ["save_state", "write_progress"] * (len(calls) // 2)
    assert len(calls) >= 6
    assert run.read_progress() == run.load_state()["progress"]


def test_settings_are_built_three_times_at_most_for_a_run(tmp_path, monkeypatch):
    built = []
    check = TrainConfig.__post_init__
    monkeypatch.setattr(TrainConfig, "__post_init__", lambda self: (built.append(1), check(self)))
    grid = grid_in(tmp_path / "grid", axes={})
    quietly(grid)
    assert len(built) <= 3
    built.clear()
    quietly(grid)
    assert len(built) <= 2
    built.clear()
    quietly(grid | {"evaluation": {"num_samples": 6, "proposal": "guide"}})
    assert len(built) <= 3


def test_other_evaluation_or_draws_train_nothing_anew(started):
    folder, grid = started
    kept = times(folder, "model.safetensors") | times(folder, "last.pt")
    signal_before = times(folder, "gradient_signal.json")
    run = RunFolder(folder / "run-seed0")
    quietly(grid | {"evaluation": {"num_samples": 6, "proposal": "guide"}})
    assert json.loads(run.evaluation.read_text())["num_samples"] == 6
    assert times(folder, "gradient_signal.json") == signal_before
    evaluated = times(folder, "evaluation.json")
    result, _ = quietly(
        grid | {"evaluation": {"num_samples": 6, "proposal": "guide"}, "gradient_draws": 4}
    )
    assert json.loads((run.path / "gradient_signal.json").read_text())["num_draws"] == 4
    assert times(folder, "evaluation.json") == evaluated
    assert times(folder, "model.safetensors") | times(folder, "last.pt") == kept
    without, _ = quietly(
        grid | {"evaluation": {"num_samples": 6, "proposal": "guide"}, "gradient_draws": 0}
    )
    assert result["rows"][0]["gradient_signal_model"] > 0
    assert without["rows"][0]["gradient_signal_model"] is None


def test_runs_whose_weights_are_not_kept_are_finished(started):
    folder, grid = started
    whole, _ = quietly(grid)
    for pattern in ("*.safetensors", "*.pt", "tokenizer.json"):
        for path in folder.rglob(pattern):
            path.unlink()
    before = times(folder, "run-seed0/**/*")
    without, lines = quietly(grid)
    assert without["rows"] == whole["rows"]
    assert "1 of them finished" in lines[0]
    assert times(folder, "run-seed0/**/*") == before
    for further in ({"gradient_draws": 5}, {"evaluation": {"num_samples": 8, "proposal": "guide"}}):
        result, lines = quietly(grid | further)
        assert result["rows"][0]["failed"] == ["run-seed0"]
        assert re.search(r"has no checkpoint to measure|tokenizer\.json", "".join(lines)), lines


def test_run_with_other_settings_is_refused_or_replaced(started):
    folder, grid = started
    before = times(folder, "*")
    changed = grid | {"settings": SETTINGS | {"learning_rate": 0.01}}
    message = r"run-seed0 holds a run with learning_rate 0\.001, the grid gives 0\.01: give --over"
    with pytest.raises(UserError, match=message):
        quietly(changed)
    assert times(folder, "*") == before
    quietly(changed, overwrite=True)
    config = yaml.safe_load((folder / "run-seed0" / "config.yaml").read_text())
    assert config["learning_rate"] == 0.01
    found = json.loads((folder / "run-seed0" / "gradient_signal.json").read_text())
    assert found["settings"]["learning_rate"] == 0.01


def test_overwrite_leaves_runs_of_the_same_settings(started):
    folder, grid = started
    before = times(folder, "run-seed0/**/*")
    quietly(grid, overwrite=True)
    assert times(folder, "run-seed0/**/*") == before


def test_stopped_grid_goes_on_from_where_it_was(tmp_path):
    """Stopped after the first epoch of the second run: the result is the undisturbed one."""
    settings = SETTINGS | {"epochs": 2, "checkpoint_every": 3}
    lines = []

    def interrupt(line):
        lines.append(line)
        if line.startswith("half-seed0: epoch   1"):
            raise KeyboardInterrupt

    stopped = grid_in(tmp_path / "stopped", settings=settings)
    with pytest.raises(KeyboardInterrupt):
        run_grid(stopped, report=interrupt)
    assert lines[-1] == (
        f"stopped; the runs in {tmp_path / 'stopped'} are kept: the same command goes on from them"
    )
    first = times(tmp_path / "stopped" / "elbo-seed0", "*")
    # An evaluation of a half-trained run is of other weights than those it will have.
    for name in ("evaluation.json", "evaluation.sentences.jsonl"):
        shutil.copy(tmp_path / "stopped" / "elbo-seed0" / name, tmp_path / "stopped" / "half-seed0")
    result, said = quietly(stopped)
    assert any("half-seed0" in line and "going on at epoch 1" in line for line in said)
    assert times(tmp_path / "stopped" / "elbo-seed0", "*") == first
    half = RunFolder(tmp_path / "stopped" / "half-seed0")
    assert json.loads(half.evaluation.read_text())["run"] == str(half.path)
    assert not result["failures"]
    config = TrainConfig(**settings, guide="gaussian", kl_weight=0.5)
    train(config, tmp_path / "left-alone", report=lines.append)
    left_alone = RunFolder(tmp_path / "left-alone")
    assert half.metrics.read_text() == left_alone.metrics.read_text()


def test_run_stopped_before_its_first_step_is_trained(tmp_path):
    folder = tmp_path / "grid" / "run-seed0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("data: grammar\n")
    result, _ = quietly(grid_in(tmp_path / "grid", axes={}))
    assert math.isfinite(result["rows"][0]["nll"])


def test_failing_run_loses_no_other(tmp_path):
    axes = {"x": {"good": {}, "bad": {"procedure": "pretrained_encoder"}}}
    result, lines = quietly(grid_in(tmp_path / "grid", axes=axes))
    assert [row["cell"] for row in result["rows"]] == ["good", "bad"]
    assert list(result["failures"]) == ["bad-seed0"]
    assert result["failures"]["bad-seed0"].startswith("pretrain_epochs=10 leaves none of 1 epochs")
    assert any(line.startswith("bad-seed0: failed: pretrain_epochs=10") for line in lines)
    assert "bad (1 of 1 failed)" in (tmp_path / "grid" / "table.md").read_text()


def test_bug_in_a_run_keeps_its_traceback(tmp_path, monkeypatch):
    def broken(*given, **options):
        raise RuntimeError("out of order")

    monkeypatch.setattr("pyro_textvae.grid.attempt.gradient_signal", broken)
    result, _ = quietly(grid_in(tmp_path / "grid", axes={}))
    log = tmp_path / "grid" / "run-seed0.traceback.txt"
    assert result["failures"] == {"run-seed0": f"RuntimeError: out of order (see {log})"}
    assert 'raise RuntimeError("out of order")' in log.read_text()
    monkeypatch.undo()
    result, _ = quietly(grid_in(tmp_path / "grid", axes={}))
    assert result["failures"] == {}
    assert not log.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"objective": ["beta_elbow"]}}, "cell beta_elbow: there is no objective"),
        ({"axes": {"x": {"a": {}, "b": {"guide": "gausian"}}}}, "cell b: there is no guide"),
        ({"settings": {"data": "nowhere"}}, r"cell elbo: .*nowhere"),
        ({"evaluation": {"proposal": "guid"}}, "there is no proposal 'guid'"),
        ({"evaluation": {"proposal_options": {"x": 1}}}, "proposal has no option 'x'"),
        ({"settings": {"device": "cuda:99"}}, r"cell elbo: device 'cuda:99' does not exist"),
    ],
)
def test_wrong_settings_are_refused_before_the_first_run(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        quietly(grid_in(tmp_path / "grid", **changes))
    assert not (tmp_path / "grid").exists()


def test_other_refusals(tmp_path):
    with pytest.raises(UserError, match="jobs must be at least 1, got 0"):
        quietly(grid_in(tmp_path / "grid"), jobs=0)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file: choose another out"):
        quietly(grid_in(tmp_path / "file"))
