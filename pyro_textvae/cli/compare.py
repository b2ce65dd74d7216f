# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae compare``: of runs, or of a grid of runs that it trains first."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pyro_textvae.cli.output import check_apart_from_runs, print_beside, print_table
from pyro_textvae.cli.parsing import parse
from pyro_textvae.errors import UserError


@dataclass
class CompareOptions:
    """Differences of the nll between runs on the same sentences, each with an interval.

    Args:
        runs: folders made by train and evaluated; need no flag.
        grid: YAML file of runs to train, evaluate and compare; needs no flag.
        jobs: runs of the grid side by side, each with its share of the cores.
        overwrite: train runs of the grid anew whose folders hold other settings.
        over_seeds: runs that differ by their seed alone are one row, as in a grid.
        reference: the run or cell that all others are compared with; by default that of the grid,
            or the best.
        sort: column by which rows over seeds are sorted, from low to high.
        figure: PNG file to draw, nll against the information in the latents; of rows over seeds.
        num_resamples: resamples of the sentences for an interval.
        seed: of the resamples.
        json: print the comparison as a JSON object in the place of tables.
        out: JSON file to write; by default none.

    """

    runs: list[str] = field(default_factory=list)
    grid: str | None = None
    jobs: int = 1
    overwrite: bool = False
    over_seeds: bool = False
    reference: str | None = None
    sort: str = "nll"
    figure: str | None = None
    num_resamples: int = 10_000
    seed: int = 0
    json: bool = False
    out: str | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UserError(f"jobs must be at least 1, got {self.jobs}")
        if self.grid is not None and self.runs:
            raise UserError("compare takes runs or a grid, not both: leave one of them out")
        if self.num_resamples < 1000:
            raise UserError(f"num_resamples must be at least 1000, got {self.num_resamples}")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must lie in [0, 2**32), got {self.seed}")


def main(arguments: Sequence[str]) -> int:
    """Print what each run has, how the runs differ, and what to beware of; 1 if a run failed."""
    options, given = parse(CompareOptions, "compare", arguments)
    if len(options.runs) == 1 and Path(options.runs[0]).suffix in (".yaml", ".yml"):
        options = replace(options, grid=options.runs[0], runs=[])
    if options.grid is not None:
        return _compare_grid(options, shlex.join(["pyro-textvae", "compare", *arguments]))
    of_grids = sorted(given & {"jobs", "overwrite"})
    if of_grids:
        raise UserError(f"--{of_grids[0]} is for a grid: pyro-textvae compare GRID.yaml")
    if options.over_seeds:
        return _compare_over_seeds(options)
    of_rows = sorted(given & {"reference", "sort", "figure"})
    if of_rows:
        raise UserError(f"--{of_rows[0]} is for rows over seeds: give --over-seeds with it")
    from pyro_textvae.report import comparison_table
    from pyro_textvae.run_folder.files import write_json
    from pyro_textvae.runs.compare import compare_runs

    out = Path(options.out) if options.out else None
    if out is not None:
        check_apart_from_runs(out, *options.runs)
    result = compare_runs(options.runs, num_resamples=options.num_resamples, seed=options.seed)
    print_table(comparison_table(result), result, as_json=options.json)
    if out is not None:
        write_json(out, result)
        print_beside(f"written to {out}", as_json=options.json)
    return 0


def _compare_over_seeds(options: CompareOptions) -> int:
    from pyro_textvae.grid.finished_runs import compare_over_seeds
    from pyro_textvae.report import grid_table
    from pyro_textvae.run_folder.files import write_json

    _check_outputs(options, options.runs)
    result = compare_over_seeds(
        options.runs,
        reference=options.reference,
        num_resamples=options.num_resamples,
        seed=options.seed,
        sort=options.sort,
    )
    print_table(grid_table(result), result, as_json=options.json)
    _draw(options, result)
    if options.out is not None:
        write_json(Path(options.out), result)
        print_beside(f"written to {options.out}", as_json=options.json)
    return 0


def _draw(options: CompareOptions, result: dict[str, Any]) -> None:
    """Write the figure, if one was asked for."""
    if options.figure is None:
        return
    from pyro_textvae.report.information_figure import information_figure

    Path(options.figure).write_bytes(information_figure(result).png)
    print_beside(f"drawn in {options.figure}", as_json=options.json)


def _check_outputs(options: CompareOptions, runs: Sequence[str]) -> None:
    """Refuse what cannot be written before anything is computed."""
    if options.figure is not None:
        if find_spec("matplotlib") is None:
            raise UserError(
                "a figure needs matplotlib, which is not installed: pip install 'pyro-textvae[viz]'"
            )
        if Path(options.figure).suffix != ".png":
            raise UserError(f"--figure {options.figure} must end in .png")
        check_apart_from_runs(Path(options.figure), *runs)
    if options.out is not None:
        check_apart_from_runs(Path(options.out), *runs)


def _compare_grid(options: CompareOptions, command: str) -> int:
    from pyro_textvae.cli.one_process import refuse_several

    refuse_several(
        "compare with a grid",
        instead=", with --jobs for several runs at a time, or train each run under torchrun",
    )
    from pyro_textvae.grid.definition import read_grid
    from pyro_textvae.grid.run import run_grid
    from pyro_textvae.run_folder.files import same_place, write_json

    assert options.grid is not None
    out = Path(options.out) if options.out else None
    if out is not None:
        if same_place(out, Path(options.grid)):
            raise UserError(f"--out {out} is the grid itself: choose another name")
    grid = read_grid(options.grid)
    _check_outputs(options, [str(run.folder) for run in grid.runs])
    if options.over_seeds:
        raise UserError("a grid has rows over seeds by itself: leave out --over-seeds")
    result = run_grid(
        grid,
        jobs=options.jobs,
        overwrite=options.overwrite,
        num_resamples=options.num_resamples,
        seed=options.seed,
        reference=options.reference,
        sort=options.sort,
        command=command,
        report=lambda line: print_beside(line, as_json=options.json),
    )
    _draw(options, result)
    if options.json:
        print_table("", result, as_json=True)
    if out is not None:
        write_json(out, result)
        print_beside(f"written to {out}", as_json=options.json)
    return 1 if result["failures"] else 0
