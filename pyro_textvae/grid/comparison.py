# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The finished runs of a grid against each other: a row for each cell, its seeds together."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pyro_textvae.errors import UserError
from pyro_textvae.grid.definition import Grid, GridRun
from pyro_textvae.grid.mixture_of_seeds import mixture_of_seeds
from pyro_textvae.run_folder import RunFolder, quantities
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.evaluated_run import EvaluatedRun, read_evaluated_run
from pyro_textvae.runs.compare import (
    assessed,
    check_same_sentences,
    compare_two,
    describe_bootstrap,
    described,
    run_summary,
    what_was_scored,
)

# Of 95 in 100, two-sided, for 1 to 30 degrees of freedom; the last one for more.
_STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def compare_grid(
    grid: Grid,
    failures: Mapping[str, str],
    gradients: Mapping[str, Mapping[str, Any]],
    *,
    num_resamples: int = 10_000,
    seed: int = 0,
    sort: str = "nll",
) -> dict[str, Any]:
    """A row for each cell, sorted, and its paired difference to the best; plain values.

    The log-likelihood of a sentence is averaged over a cell's seeds, then cells are compared
    sentence by sentence. That interval knows nothing of other seeds. So a difference is told apart
    only where the interval excludes a tie and, with two seeds or more, the difference exceeds what
    the seeds do by themselves: ``seed_reach``, the half-width of Student's interval at the same
    level. Its standard error is from what is left of the nll of each run when the means of its
    cell and of its seed are taken out, pooled over the cells: cells of one seed share their
    initial weights and their batches. Where two seeds are not finished in every cell, it is from
    the spread of the seeds in the cells that have several. The best is named where every other
    cell is told apart. Where the grid has a reference, the differences that are given are to that
    cell, and a cell below it may be told apart from it as well as one above.

    The nll of a row is the mean of its seeds'; beside it stands that of their
    :func:`mixture <pyro_textvae.grid.mixture_of_seeds.mixture_of_seeds>`.

    :param failures: why a run has no numbers, by its name.
    :param gradients: signal-to-noise ratios of ``model`` and ``guide``, by the name of the run.
    :param seed: of the bootstrap over sentences.
    :param sort: the number by which rows are sorted, from low to high.
    :raises UserError: when the files of a run that did not fail are damaged, and for a number to
        sort by that no column has.
    """
    check_sort(sort)
    cells: dict[str, list[GridRun]] = {cell: [] for cell in grid.cells}
    for run in grid.runs:
        cells[run.cell].append(run)
    finished = {
        run.name: read_evaluated_run(run.files) for run in grid.runs if run.name not in failures
    }
    rows = [_row(of_cell, finished, failures, gradients) for of_cell in cells.values()]
    rows.sort(key=lambda row: math.inf if row["nll"] is None else row["nll"])
    averaged = {}
    for row in rows:
        seeds = [finished[each["name"]] for each in row["runs"]]
        if seeds:
            averaged[row["cell"]] = _averaged(row["cell"], seeds)
        row |= mixture_of_seeds([run.log_px for run in seeds])
    to_best, differences, reason = [], [], None
    shown = [row for row in rows if row["cell"] in averaged]
    try:
        if shown:
            to_best = _differences(shown, shown[0]["cell"], averaged, num_resamples, seed)
            differences = to_best
        if shown and grid.reference is not None:
            if grid.reference not in averaged:
                raise UserError(f"no run of the reference {grid.reference} is finished")
            differences = _differences(shown, grid.reference, averaged, num_resamples, seed)
    except UserError as error:
        reason = str(error)
    apart = [each["told_apart"] and each["difference"] > 0 for each in to_best]
    best = rows[0]["cell"] if apart and all(apart) else None
    rows.sort(key=lambda row: math.inf if row[sort] is None else row[sort])
    first = next(iter(finished.values()), None)
    return {
        "grid": grid.description,
        **(what_was_scored(first) if first else {}),
        "data": first.evaluation["data"] if first else None,
        "seeds": sorted({run.config.seed for run in grid.runs}),
        "rows": rows,
        "best": best,
        **({} if grid.reference is None else {"reference": grid.reference}),
        "differences": differences,
        "no_differences": reason,
        "failures": dict(failures),
        "bootstrap": describe_bootstrap(num_resamples, seed),
        "environment": describe_environment(),
    }


def check_sort(sort: str) -> None:
    """Refuse a number to sort by that no column of the table has.

    :raises UserError: with all that there are.
    """
    columns = [each.name for each in quantities.averaged()]
    if sort not in columns:
        raise UserError(f"sort {sort!r} is no column of the table: one of {', '.join(columns)}")


def _row(
    runs: Sequence[GridRun],
    finished: Mapping[str, EvaluatedRun],
    failures: Mapping[str, str],
    gradients: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    numbers = [
        _numbers_of(run, finished[run.name], gradients.get(run.name, {}))
        for run in runs
        if run.name in finished
    ]
    averaged = [each.name for each in quantities.averaged()]
    return {
        "cell": runs[0].cell,
        "members": runs[0].members,
        "num_runs": len(runs),
        "failed": [run.name for run in runs if run.name in failures],
        **{name: _mean([each[name] for each in numbers]) for name in averaged},
        **{f"{name}_seed_sd": _seed_sd([each[name] for each in numbers]) for name in averaged},
        "runs": numbers,
    }


def _numbers_of(
    run: GridRun, evaluated: EvaluatedRun, gradient: Mapping[str, Any]
) -> dict[str, Any]:
    evaluation = evaluated.evaluation
    seconds, tokens = _training_time(run.files)
    measured = {
        "gradient_signal_guide": gradient.get("guide"),
        "gradient_signal_model": gradient.get("model"),
        "parameters": (
            run.files.read_config().get("parameters") if run.files.config_json.is_file() else None
        ),
        "seconds": seconds or None,
        "tokens_per_second": tokens / seconds if seconds else None,
    }
    summary = run_summary(evaluated)
    columns = {each.name: each for each in quantities.averaged() if each.name not in measured}
    numbers = {name: each.value(evaluation) for name, each in columns.items()}
    if summary["exact"]:
        numbers |= {name: None for name, each in columns.items() if each.needs_latent}
    return {
        **summary,
        "name": run.name,
        "train_seed": run.config.seed,
        **numbers,
        **measured,
        **assessed(run.files),
    }


def _training_time(folder: RunFolder) -> tuple[float, float]:
    """Seconds and tokens of training, without validation.

    A run that was killed has those of its epochs since the last checkpoint of each.
    """
    seconds = tokens = 0.0
    lines = folder.timing.read_text(encoding="utf-8") if folder.timing.is_file() else ""
    for line in lines.splitlines():
        epoch = json.loads(line)
        seconds += epoch["seconds"]
        tokens += epoch["seconds"] * epoch["tokens_per_second"]
    return seconds, tokens


def _averaged(cell: str, runs: Sequence[EvaluatedRun]) -> EvaluatedRun:
    """One run in the place of a cell's seeds: every sentence's mean log-likelihood."""
    for run in runs[1:]:
        check_same_sentences(runs[0], run)
    log_px = torch.stack([run.log_px for run in runs])
    error = torch.stack([run.standard_error for run in runs])
    columns = {
        "num_tokens": runs[0].num_tokens_per_sentence,
        "log_px": log_px.mean(0),
        "standard_error": error.square().sum(0).sqrt() / len(runs),
    }
    settled = [run.settled for run in runs if run.settled is not None]
    if settled:
        # A run that does not say counts as settled.
        columns["settled"] = torch.stack(settled).all(0).long()
    for name in ("bias", "log_px_by_guide"):
        of_runs = [run.columns[name] for run in runs if name in run.columns]
        if len(of_runs) == len(runs):
            columns[name] = torch.stack(of_runs).mean(0)
    return EvaluatedRun(cell, runs[0].evaluation, columns)


def _differences(
    shown: Sequence[Mapping[str, Any]],
    base: str,
    averaged: Mapping[str, EvaluatedRun],
    num_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Of every other cell to ``base``; below it or above, a cell may be told apart."""
    (of_base,) = [row for row in shown if row["cell"] == base]
    others = [row for row in shown if row["cell"] != base]
    variance, freedom, num_seeds = _seed_variance(shown)
    differences = []
    for row in others:
        a, b = averaged[row["cell"]], averaged[base]
        check_same_sentences(a, b)
        comparison = compare_two(a, b, num_resamples, seed)
        seed_error = reach = None
        same_seeds = all(each["num_runs"] == len(each["runs"]) for each in (row, of_base))
        if freedom >= 1:
            counts = [num_seeds or len(cell["runs"]) for cell in (row, of_base)]
            seed_error = math.sqrt(variance * sum(1 / count for count in counts))
            reach = seed_error * _STUDENT[min(freedom, len(_STUDENT)) - 1]
        differences.append(
            {
                **described(a.name, b.name, comparison),
                "seed_error": seed_error,
                "seed_freedom": freedom,
                "seed_reach": reach,
                # A seed that failed moves the mean of its cell alone.
                "told_apart": same_seeds
                and comparison.sign != 0
                and (reach is None or abs(comparison.difference) > reach),
            }
        )
    return differences


def _seed_variance(rows: Sequence[Mapping[str, Any]]) -> tuple[float, int, int | None]:
    """The variance of what seeds do to a cell, its freedom, and how many seeds all cells have.

    Of the seeds that all cells have, where those are two or more: cells and seeds are taken to add
    up, with a rest of one variance for all cells. Otherwise what the seeds do within the cells that
    have several, of one variance for all cells too, and no number of seeds; with a cell of one seed
    it is borrowed from the others. A freedom of 0 where no cell has two.
    """
    nlls = [{run["train_seed"]: run["nll"] for run in row["runs"]} for row in rows]
    if any(None in of_cell.values() for of_cell in nlls):
        return 0.0, 0, None
    seeds = sorted(set.intersection(*(set(of_cell) for of_cell in nlls)))
    freedom = (len(rows) - 1) * (len(seeds) - 1)
    if freedom >= 1:
        table = torch.tensor([[of_cell[s] for s in seeds] for of_cell in nlls], dtype=torch.float64)
        rest = table - table.mean(0) - table.mean(1, keepdim=True) + table.mean()
        return rest.square().sum().item() / freedom, freedom, len(seeds)
    several = [list(of_cell.values()) for of_cell in nlls if len(of_cell) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    return squares / max(1, freedom), freedom, None


def _seed_sd(values: Sequence[float | None]) -> float | None:
    """The standard deviation; None for one value, or where one is missing."""
    present = [value for value in values if value is not None]
    return statistics.stdev(present) if len(present) > 1 and len(present) == len(values) else None


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is missing."""
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present and len(present) == len(values) else None
