# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Finished runs as a grid: those that differ by their seed alone are one cell."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.errors import UserError
from pyro_textvae.grid.attempt import gradient_of, standing_of
from pyro_textvae.grid.comparison import compare_grid
from pyro_textvae.grid.definition import Grid, GridRun
from pyro_textvae.run_folder import RunFolder, paths_of_runs

_OF_THE_RUN: dict[str, Any] = {"seed": 0, "device": "auto"}
"""Settings in which runs of one cell may differ."""


def compare_over_seeds(
    paths: Sequence[str | Path],
    *,
    reference: str | None = None,
    num_resamples: int = 10_000,
    seed: int = 0,
    sort: str = "nll",
) -> dict[str, Any]:
    """The runs in these folders, those that differ by their seed alone in one row.

    :param reference: a cell, or the folder of one of its runs, that all others are compared with.
    :param seed: of the resamples.
    :param sort: the number by which rows are sorted, from low to high.
    :raises UserError: as :func:`grid_of_runs` and
        :func:`~pyro_textvae.grid.comparison.compare_grid`.
    """
    grid = grid_of_runs(paths, reference=reference)
    return compare_grid(
        grid,
        {},
        {run.name: gradient_of(run) for run in grid.runs},
        num_resamples=num_resamples,
        seed=seed,
        sort=sort,
    )


def grid_of_runs(paths: Sequence[str | Path], *, reference: str | None = None) -> Grid:
    """The runs in these folders as a grid whose runs are trained.

    A cell is named for the folder of its first run, less ``-seed0`` at its end.

    :param reference: a cell, or the folder of one of its runs, that all others are compared with.
    :raises UserError: for a run that has not been trained to its end, two folders of one name, one
        seed twice, and a reference that is none of them.
    """
    folders = paths_of_runs(paths)
    if len(folders) < 2:
        raise UserError(f"compare --over-seeds needs at least two runs, got {len(folders)}")
    cells: dict[str, str] = {}
    runs: list[GridRun] = []
    for folder in folders:
        if folder.name in [run.name for run in runs]:
            raise UserError(
                f"two of the runs have a folder of the name {folder.name}: rename one of them"
            )
        run = GridRun("", {}, RunFolder(folder).read_settings(), folder)
        contents = run.files.read_config()
        # What refit or save_run wrote has no training of its own that could be gone on with.
        if contents.get("made_by") is None and not standing_of(run).is_trained(run.config):
            raise UserError(
                f"{folder} has not been trained to its end: pyro-textvae train --resume {folder}"
            )
        same = json.dumps(_identity(run, contents), sort_keys=True, default=str)
        cell = cells.setdefault(same, re.sub(r"-seed\d+$", "", folder.name))
        runs.append(replace(run, cell=cell, members={"run": cell}))
    if len(set(cells.values())) < len(cells):
        raise UserError(
            "two cells of other settings would have one name, that of their folders without the "
            f"seed: {', '.join(sorted(cells.values()))}; rename one of the folders"
        )
    _refuse_equal_seeds(runs)
    named = {run.name: run.cell for run in runs}
    if reference is not None:
        reference = named.get(Path(os.path.normpath(reference)).name, reference)
    description = {"runs": [str(folder) for folder in folders]}
    return Grid(Path("."), runs, EvaluationConfig(), 0, description, reference)


def _identity(run: GridRun, contents: Mapping[str, Any]) -> dict[str, Any]:
    """What runs of one cell have in common: settings, and how they were refitted."""
    settings = asdict(replace(run.config, **_OF_THE_RUN))
    refitted = contents.get("refit", {})
    chosen = refitted.get("chosen_by_held_out", ())
    settings["options"] = {n: v for n, v in run.config.options.items() if n not in chosen}
    how = {name: refitted.get(name) for name in ("target", "alternate")}
    return {**settings, "made_by": contents.get("made_by"), **how}


def _refuse_equal_seeds(runs: Sequence[GridRun]) -> None:
    seen: dict[tuple[str, int], str] = {}
    for run in runs:
        other = seen.setdefault((run.cell, run.config.seed), run.name)
        if other != run.name:
            raise UserError(
                f"{other} and {run.name} are one configuration with one seed, {run.config.seed}: "
                "leave one of them out"
            )
