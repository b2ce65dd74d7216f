# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae compare``: of runs, or of a grid of runs that it trains first."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from pyro_textvae.cli.output import check_beside_run, print_beside, print_table
from pyro_textvae.cli.parsing import parse
from pyro_textvae.errors import UserError


@dataclass
class CompareOptions:
    """Differences of the nll between runs on the same sentences, each with an interval.

    Args:
        runs: folders made by train and evaluated; they may come first, without the flag.
        grid: YAML file of runs to train, evaluate and compare; may come first, without the flag.
        jobs: runs of the grid side by side, each with its share of the cores.
        overwrite: train runs of the grid anew whose folders hold other settings.
        num_resamples: resamples of the sentences for an interval.
        seed: of the resamples.
        json: print the comparison as a JSON object in the place of tables.
        out: JSON file to write; by default none.

    """

    runs: list[str] = field(default_factory=list)
    grid: str | None = None
    jobs: int = 1
    overwrite: bool = False
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
    first = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    flags = list(arguments[len(first) :])
    if len(first) == 1 and Path(first[0]).suffix in (".yaml", ".yml"):
        flags = [f"--grid={first[0]}", *flags]
    elif first:
        flags = [f"--runs={json.dumps(first)}", *flags]
    options, given = parse(CompareOptions, "compare", flags)
    if options.grid is not None:
        return _compare_grid(options, shlex.join(["pyro-textvae", "compare", *arguments]))
    of_grids = sorted(given & {"jobs", "overwrite"})
    if of_grids:
        raise UserError(f"--{of_grids[0]} is for a grid: pyro-textvae compare GRID.yaml")
    from pyro_textvae.report import comparison_table
    from pyro_textvae.run_folder.files import write_json
    from pyro_textvae.runs.compare import compare_runs

    out = Path(options.out) if options.out else None
    if out is not None:
        _check_out(out, options.runs)
    result = compare_runs(options.runs, num_resamples=options.num_resamples, seed=options.seed)
    print_table(comparison_table(result), result, as_json=options.json)
    if out is not None:
        write_json(out, result)
        print_beside(f"written to {out}", as_json=options.json)
    return 0


def _compare_grid(options: CompareOptions, command: str) -> int:
    from pyro_textvae.cli.one_process import refuse_several

    refuse_several("compare with a grid")
    from pyro_textvae.grid.definition import read_grid
    from pyro_textvae.grid.run import run_grid
    from pyro_textvae.run_folder.files import same_place, write_json

    assert options.grid is not None
    out = Path(options.out) if options.out else None
    if out is not None:
        if same_place(out, Path(options.grid)):
            raise UserError(f"--out {out} is the grid itself: choose another name")
        _check_out(out, [str(run.folder) for run in read_grid(options.grid).runs])
    result = run_grid(
        options.grid,
        jobs=options.jobs,
        overwrite=options.overwrite,
        num_resamples=options.num_resamples,
        seed=options.seed,
        command=command,
        report=lambda line: print_beside(line, as_json=options.json),
    )
    if options.json:
        print_table("", result, as_json=True)
    if out is not None:
        write_json(out, result)
        print_beside(f"written to {out}", as_json=options.json)
    return 1 if result["failures"] else 0


def _check_out(out: Path, runs: Sequence[str]) -> None:
    """Refuse to write where the runs keep their own files, or where nothing can be written."""
    from pyro_textvae.run_folder import RunFolder

    of_runs: list[Path] = []
    for run in runs:
        folder = RunFolder(run)
        of_runs += (*folder.of_training, folder.evaluation, folder.sentences, folder.generation)
    check_beside_run(out, of_runs)
