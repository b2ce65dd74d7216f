# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Rows and differences of a grid whose evaluations are made by hand."""

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from matplotlib.figure import Figure

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import compare
from pyro_textvae.grid.comparison import _averaged, compare_grid
from pyro_textvae.grid.definition import read_grid
from pyro_textvae.report import grid_table
from pyro_textvae.report.information_figure import information_figure
from pyro_textvae.run_folder.evaluated_run import SAME, EvaluatedRun
from pyro_textvae.run_folder.sentence_table import write_sentence_table

TOKENS = torch.arange(200) % 9 + 1


def columns_of(nll, seed):
    """200 sentences of this mean nll exactly, with noise of 0.5 around it."""
    noise = torch.randn(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return {
        "num_tokens": TOKENS,
        "log_px": -(nll + 0.5 * (noise - noise.mean())),
        "standard_error": torch.full((200,), 0.1, dtype=torch.float64),
        "num_samples": torch.full((200,), 100),
    }


def evaluated(folder, nll, noise_seed, **changes):
    columns = columns_of(nll, noise_seed)
    evaluation = {
        "evaluation_id": "e1",
        "run": str(folder),
        "model": "sentence_vae",
        "guide": "gaussian",
        "data": "toy",
        "split": "test",
        "units": "nats per sentence",
        "num_sentences": 200,
        "num_tokens": int(TOKENS.sum()),
        "nll": nll,
        "nll_standard_error": 0.01,
        "elbo": nll + 1.5,
        "kl": 3.0 + noise_seed,
        "ppl": 70.0,
        "num_samples": 100,
        "proposal": "guide",
        "heavy_tail_share": 0.1,
        "exact": False,
        "warnings": [],
        "corpus_fingerprint": "f1",
        "seed": 0,
        "mutual_information": 2.0,
        "active_units": 3,
    }
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation | changes))
    write_sentence_table(folder / "evaluation.sentences.jsonl", "e1", columns)
    lines = [{"seconds": 2.0, "tokens_per_second": 100}, {"seconds": 6.0, "tokens_per_second": 500}]
    (folder / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def made(tmp_path):
    """A grid of cells a, b, ... whose runs have the given mean nlls, a list for each seed."""

    def make(nlls, **changes):
        count = len(next(iter(nlls.values())))
        grid = read_grid(
            {
                "out": tmp_path / "grid",
                "axes": {"cell": dict.fromkeys(nlls)},
                "seeds": list(range(count)),
            }
        )
        for number, run in enumerate(grid.runs):
            nll = nlls.get(run.cell, list(nlls.values())[0])[run.config.seed]
            if nll is not None:
                evaluated(run.folder, nll, number, **changes)
        return grid

    return make


def compared(grid, failures=(), gradients=None):
    failures = dict.fromkeys(failures, "out of luck")
    return compare_grid(grid, failures, gradients or {}, num_resamples=1000)


def test_rows_are_means_over_seeds_sorted_by_nll(made):
    grid = made({"a": [51.0, 52.0], "b": [50.0, 50.4]})
    gradients = {run.name: {"model": 2.0, "guide": run.config.seed} for run in grid.runs}
    result = compared(grid, gradients=gradients)
    best, other = result["rows"]
    assert (best["cell"], other["cell"]) == ("b", "a")
    assert best["nll"] == pytest.approx(50.2)
    assert best["nll_seed_sd"] == pytest.approx(0.4 / math.sqrt(2))
    # Sentence by sentence, b0 and b1 being the runs 1 and 3.
    of_runs = torch.stack([columns_of(nll, n)["log_px"] for nll, n in ((50.0, 1), (50.4, 3))])
    mixed = math.log(2) - of_runs.logsumexp(0).mean().item()
    assert best["nll_mixed"] == pytest.approx(mixed)
    assert mixed < best["nll"]
    assert best["seed_information"] > 0
    assert best["gap"] == pytest.approx(1.5)
    # Runs are numbered seed by seed: a0, b0, a1, b1.
    assert best["kl"] == pytest.approx(3.0 + (1 + 3) / 2)
    assert (best["gradient_signal_guide"], best["gradient_signal_model"]) == (0.5, 2.0)
    assert (best["seconds"], best["tokens_per_second"]) == (8.0, (200 + 3000) / 8)
    assert (best["mutual_information"], best["active_units"]) == (2.0, 3.0)
    assert [run["train_seed"] for run in best["runs"]] == [0, 1]
    assert result["corpus_fingerprint"] == "f1"
    assert {"commit", "packages"} <= result["environment"].keys()


def test_difference_is_that_of_the_sentences_averaged_over_seeds(made):
    result = compared(made({"a": [51.0, 51.2], "b": [50.0, 50.1]}))
    (found,) = result["differences"]

    def mean(nlls, noise_seeds):
        pairs = zip(nlls, noise_seeds, strict=True)
        log_px = torch.stack([columns_of(*pair)["log_px"] for pair in pairs])
        columns = columns_of(0.0, 0) | {"log_px": log_px.mean(0)}
        # Two independent draws of one error.
        columns["standard_error"] = columns["standard_error"] / math.sqrt(2)
        return EvaluatedRun("", {}, columns)

    expected = compare(mean([51.0, 51.2], [0, 2]), mean([50.0, 50.1], [1, 3]), num_resamples=1000)
    assert (found["a"], found["b"]) == ("a", "b")
    assert found["difference"] == pytest.approx(1.05)
    assert found["interval"] == pytest.approx(list(expected.interval))
    assert found["monte_carlo_error"] == pytest.approx(0.1 / math.sqrt(200))


def test_seed_error_is_the_one_of_paired_seeds(made):
    """With two cells the error of a difference is that of the mean of the seeds' differences."""
    result = compared(made({"a": [51.0, 53.0, 52.0], "b": [50.0, 51.6, 51.1]}))
    (found,) = result["differences"]
    differences = torch.tensor([1.0, 1.4, 0.9])
    assert found["seed_error"] == pytest.approx(differences.std().item() / math.sqrt(3))
    assert found["seed_freedom"] == 2
    assert found["seed_reach"] == pytest.approx(4.303 * found["seed_error"])


def test_seed_error_of_a_cell_of_one_seed_is_borrowed(made):
    """From the spread within the cells that have several; a mean of three seeds has a third."""
    grid = made({"a": [51.0, 53.0, 52.0], "b": [50.0, None, None], "c": [40.0, 41.0, None]})
    result = compared(grid, failures=["b-seed1", "b-seed2", "c-seed2"])
    rows = {each["a"]: each for each in result["differences"]}
    variance = (2 * 1.0 + 1 * 0.5) / 3
    assert rows["a"]["seed_error"] == pytest.approx(math.sqrt(variance * (1 / 3 + 1 / 2)))
    assert rows["b"]["seed_error"] == pytest.approx(math.sqrt(variance * (1 + 1 / 2)))
    assert [row["seed_freedom"] for row in rows.values()] == [3, 3]
    assert rows["b"]["seed_reach"] == pytest.approx(3.182 * rows["b"]["seed_error"])


def test_seed_error_does_not_hold_what_a_seed_does_to_all_cells(made):
    result = compared(made({"a": [51.0, 91.0], "b": [50.0, 90.0], "c": [50.5, 90.5]}))
    assert [each["seed_error"] for each in result["differences"]] == pytest.approx([0.0, 0.0])
    assert result["best"] == "b"


def test_best_needs_both_the_sentences_and_the_seeds(made):
    """Sentences differ by 0.5 at most in noise: the interval's half-width is about 0.07."""
    result = compared(made({"a": [51.0, 52.0, 51.5], "b": [50.0, 52.0, 50.6]}))
    (found,) = result["differences"]
    assert found["interval"][0] > 0
    assert found["difference"] < found["seed_reach"]
    assert (found["told_apart"], result["best"]) == (False, None)


def test_interval_with_a_tie_is_not_told_apart_however_alike_the_seeds(made):
    result = compared(made({"a": [50.01, 51.01], "b": [50.0, 51.0]}))
    (found,) = result["differences"]
    assert found["interval"][0] < 0 < found["difference"]
    assert found["seed_reach"] < 1e-6
    assert (found["told_apart"], result["best"]) == (False, None)


def test_one_seed_is_judged_by_the_sentences_alone(made):
    result = compared(made({"a": [51.0], "b": [50.0]}))
    (found,) = result["differences"]
    assert (found["seed_error"], found["seed_reach"], found["told_apart"]) == (None, None, True)
    assert result["rows"][0]["nll_seed_sd"] is None
    assert result["best"] == "b"


def test_failed_runs_leave_the_others(made):
    result = compared(made({"a": [51.0, None], "b": [50.0, 50.1], "c": [None, None]}),
                      failures=["a-seed1", "c-seed0", "c-seed1"])  # fmt: skip
    assert [row["cell"] for row in result["rows"]] == ["b", "a", "c"]
    assert [row["failed"] for row in result["rows"]] == [[], ["a-seed1"], ["c-seed0", "c-seed1"]]
    assert [row["nll"] for row in result["rows"]] == [pytest.approx(50.05), 51.0, None]
    (found,) = result["differences"]
    assert (found["a"], found["b"], found["told_apart"]) == ("a", "b", False)
    assert result["failures"]["a-seed1"] == "out of luck"


def test_nothing_finished(made):
    result = compared(made({"a": [None], "b": [None]}), failures=["a-seed0", "b-seed0"])
    assert (result["best"], result["differences"]) == (None, [])
    assert [row["nll"] for row in result["rows"]] == [None, None]


def test_exact_models_have_no_latent_numbers(made):
    result = compared(made({"a": [51.0], "b": [50.0]}, exact=True))
    names = ("elbo", "gap", "kl", "mutual_information", "active_units")
    assert [result["rows"][0][name] for name in names] == [None] * 5


def test_cells_on_other_text_have_rows_and_no_differences(made):
    grid = made({"a": [51.0], "b": [50.0]})
    path = grid.runs[0].folder / "evaluation.json"
    path.write_text(path.read_text().replace('"f1"', '"f2"'))
    result = compared(grid)
    assert len(result["rows"]) == 2
    assert result["differences"] == []
    assert "different text or with different tokenizers" in result["no_differences"]
    assert result["best"] is None


def test_a_sentence_of_a_cell_is_settled_where_all_its_seeds_say_so():
    evaluation = dict.fromkeys(SAME, 1)

    def run(settled, bias):
        zero = torch.zeros(2, dtype=torch.float64)
        columns = {"num_tokens": torch.ones(2), "log_px": zero, "standard_error": zero}
        return EvaluatedRun(
            "run",
            evaluation,
            columns | {"settled": torch.tensor(settled), "bias": zero + bias},
        )

    cell = _averaged("cell", [run([1, 1], 0.1), run([1, 0], 0.3)])
    assert cell.settled.tolist() == [True, False]
    assert cell.bias.tolist() == pytest.approx([0.2, 0.2])
    assert cell.log_px_by_guide is None


def with_reference(grid, cell):
    return replace(grid, reference=cell)


def test_differences_to_a_reference_are_told_apart_on_both_sides(made):
    grid = with_reference(made({"a": [51.0, 51.2], "b": [50.0, 50.2], "c": [52.0, 52.2]}), "a")
    result = compared(grid)
    assert (result["reference"], result["best"]) == ("a", "b")
    signs = {
        each["a"]: (each["b"], each["difference"] > 0, each["told_apart"])
        for each in result["differences"]
    }
    assert signs == {"b": ("a", False, True), "c": ("a", True, True)}
    assert "nll less that of a" in grid_table(result)


def test_reference_that_is_no_cell_is_refused(made):
    with pytest.raises(UserError, match="reference 'd' is no cell of the grid: one of a, b"):
        with_reference(made({"a": [51.0], "b": [50.0]}), "d")


def test_rows_are_sorted_by_any_column_and_the_best_stays(made):
    grid = made({"a": [51.0, 51.2], "b": [50.0, 50.2], "c": [52.0, 52.2]})
    result = compare_grid(grid, {}, {}, num_resamples=1000, sort="kl")
    assert [row["cell"] for row in result["rows"]] == ["a", "b", "c"]  # kl grows with the number
    assert result["best"] == "b"
    with pytest.raises(UserError, match="sort 'size' is no column of the table: one of nll, "):
        compare_grid(grid, {}, {}, sort="size")


def test_figure_has_points_lines_and_the_intervals_of_the_reference(made, monkeypatch):
    grid = made({"a": [51.0, 51.2], "b": [50.0, 50.2], "c": [52.0, 52.2]})
    for run in grid.runs:
        if run.cell == "c":
            path = run.folder / "evaluation.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"exact": True}))
    result = compared(with_reference(grid, "c"))
    drawn = {}

    def keep(name, size, paint, **words):
        figure = Figure()
        paint(figure)
        drawn["axes"] = figure.axes[0]

    monkeypatch.setattr("pyro_textvae.report.information_figure.draw", keep)
    information_figure(result)
    axes = drawn["axes"]
    assert {text.get_text() for text in axes.texts} == {"a", "b", "c"}
    points = {
        full: [
            tuple(line.get_xydata()[0])
            for line in axes.lines
            if line.get_marker() == "o" and (line.get_markerfacecolor() != "white") == full
        ]
        for full in (True, False)
    }
    assert sorted(points[True]) == [pytest.approx((2.0, nll)) for nll in (50.1, 51.1)]
    bounds = sorted((2.0, row["elbo"]) for row in result["rows"] if row["cell"] != "c")
    assert sorted(points[False]) == [pytest.approx(bound) for bound in bounds]
    (level,) = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "-"
                and len(line.get_xdata()) == 2]  # fmt: skip
    assert level == pytest.approx(52.1)
    # No thread crosses another: those that end higher begin higher, all at the edge of the axes.
    right = axes.get_xlim()[1]
    threads = sorted((text.xyann[1], *text.xy) for text in axes.texts)
    assert all(after[0] - before[0] > 0.03 for before, after in itertools.pairwise(threads))
    assert [thread[1:] for thread in threads] == [
        (right, pytest.approx(nll)) for nll in (50.1, 51.1, 52.1)
    ]
    segments = [bar.get_segments()[0] for bar in axes.collections]
    levels = sorted(s.tolist() for s in segments if s[0, 1] == s[1, 1])
    assert levels == [
        [[2.0, pytest.approx(nll)], [right, pytest.approx(nll)]] for nll in (50.1, 51.1)
    ]
    ends = sorted(tuple(s[:, 1]) for s in segments if s[0, 0] == s[1, 0])
    for (low, high), nll in zip(ends, (50.1, 51.1), strict=True):
        assert low < nll < high < 52.1


def test_figure_without_a_latent_is_refused(made):
    with pytest.raises(UserError, match="a figure needs a finished run with a latent"):
        information_figure(compared(made({"a": [51.0], "b": [50.0]}, exact=True)))
