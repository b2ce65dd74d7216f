# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A grid of runs from one YAML file: trained, evaluated, compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from pyro_textvae.config.checks import SEED, at_least, check_argument
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus, load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.comparison import FEWEST_RESAMPLES
from pyro_textvae.grid.attempt import (
    Report,
    Standing,
    attempt,
    gradient_of,
    is_finished,
    standing_of,
)
from pyro_textvae.grid.comparison import check_sort, compare_grid
from pyro_textvae.grid.definition import Grid, GridRun, read_grid
from pyro_textvae.grid.side_by_side import SideBySide
from pyro_textvae.infer.running import find_device
from pyro_textvae.report import grid_csv, grid_table
from pyro_textvae.run_folder.files import write_json, write_text
from pyro_textvae.run_folder.one_writer import one_writer
from pyro_textvae.runs.build import build, sizes_of
from pyro_textvae.runs.evaluate import build_proposal, load_other_text
from pyro_textvae.runs.load import labelled_seed_of, load_corpus_of

# Settings that the text depends on. The seed of a run is not that of its text.
_OF_THE_CORPUS = tuple(
    field.name
    for field in fields(TrainConfig)
    if field.name == "data" or field.name in set(signature(load_corpus).parameters) - {"seed"}
)


def run_grid(
    source: str | Path | Mapping[str, Any] | Grid,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    num_resamples: int = 10_000,
    seed: int = 0,
    reference: str | None = None,
    sort: str = "nll",
    command: str | None = None,
    report: Report = print,
) -> dict[str, Any]:
    """Train, evaluate and compare every run of a grid; what is done already is not done again.

    Writes ``table.md``, ``table.csv`` and ``table.json`` into the grid's folder, beside the runs.
    A run that fails is in ``failures`` of the result, and the others go on.

    :param source: a YAML file, or the mapping that it holds, see docs/comparing-runs.md; or what
        :func:`~pyro_textvae.grid.read_grid` made of them.
    :param jobs: runs side by side, each in a process of its own with its share of the cores; with
        1 they run one after the other in this process.
    :param overwrite: train runs of other settings anew where they are in the way.
    :param num_resamples: resamples of the sentences for an interval.
    :param seed: of the resamples.
    :param reference: the cell that all others are compared with; by default that of the grid, or
        the best.
    :param sort: the number by which rows are sorted, from low to high.
    :param command: kept in ``table.json``.
    :param report: receives lines of text, at last the table.
    :returns: what ``table.json`` holds.
    :raises UserError: for anything wrong that can be seen before the first run starts, and when
        another process is writing the grid.
    """
    jobs = check_argument("jobs", jobs, int, at_least(1))
    num_resamples = check_argument("num_resamples", num_resamples, int, at_least(FEWEST_RESAMPLES))
    seed = check_argument("seed", seed, int, SEED)
    grid = source if isinstance(source, Grid) else read_grid(source)
    if reference is not None:
        grid = replace(grid, reference=reference)
    check_sort(sort)
    corpora: dict[str, Corpus] = {}
    standings = _check(grid, overwrite, corpora)
    replaced = {name for name, standing in standings.items() if standing.conflict is not None}
    left = [
        run
        for run in grid.runs
        if not is_finished(run, standings[run.name], grid.evaluation, grid.gradient_draws)
    ]
    _check_other_text(grid.evaluation, left, corpora)
    report(
        f"{len(grid.runs)} runs of {len(grid.cells)} cells in {grid.out}, "
        f"{len(grid.runs) - len(left)} of them finished"
    )
    grid.out.mkdir(parents=True, exist_ok=True)
    with one_writer(grid.out / "writer.lock", str(grid.out)):
        try:
            if jobs == 1:
                failures = _one_after_the_other(grid, left, replaced, report)
            else:
                failures = SideBySide(grid, jobs, replaced=replaced, report=report).attempt_all(
                    left
                )
        except KeyboardInterrupt:
            report(f"stopped; the runs in {grid.out} are kept: the same command goes on from them")
            raise
        gradients = {run.name: gradient_of(run) for run in grid.runs} if grid.gradient_draws else {}
        comparison = compare_grid(
            grid, failures, gradients, num_resamples=num_resamples, seed=seed, sort=sort
        )
        result = {"command": command, **comparison}
        table = grid_table(result)
        write_text(grid.out / "table.md", table + "\n")
        write_text(grid.out / "table.csv", grid_csv(result))
        write_json(grid.out / "table.json", result)
        report(table)
        report(f"written to {grid.out / 'table.md'}, table.csv and table.json")
        return result


def _one_after_the_other(
    grid: Grid, runs: Sequence[GridRun], replaced: set[str], report: Report
) -> dict[str, str]:
    failures = {}
    for run in runs:
        reason = attempt(
            run,
            grid.evaluation,
            grid.gradient_draws,
            overwrite=run.name in replaced,
            report=partial(_report_with_name, report, run.name),
        )
        if reason is not None:
            report(f"{run.name}: failed: {reason}")
            failures[run.name] = reason
    return failures


def _report_with_name(report: Report, name: str, text: str) -> None:
    for line in text.splitlines():
        report(f"{name}: {line}")


def _check(grid: Grid, overwrite: bool, corpora: dict[str, Corpus]) -> dict[str, Standing]:
    """Refuse what would stop a run at its start, before the first one starts.

    :returns: what each folder holds, by the name of the run; one that holds another run is to be
        trained anew.
    """
    if grid.out.exists() and not grid.out.is_dir():
        raise UserError(f"{grid.out} is a file: choose another out")
    build_proposal(grid.evaluation)
    checked: set[str] = set()
    standings = {}
    for run in grid.runs:
        standing = standing_of(run)
        if standing.conflict is None:
            standing = replace(standing, conflict=_other_text(run, corpora))
        if standing.conflict is not None and not overwrite:
            raise UserError(
                f"{run.folder} holds a run with {standing.conflict}: give --overwrite to train it "
                "anew, or another out"
            )
        standings[run.name] = standing
        is_trained = standing.conflict is None and standing.is_trained(run.config)
        if run.cell not in checked and not is_trained:
            checked.add(run.cell)
            try:
                _check_settings(run.config, corpora)
            except UserError as error:
                raise UserError(f"cell {run.cell}: {error}") from error
    return standings


def _check_settings(config: TrainConfig, corpora: dict[str, Corpus]) -> None:
    find_device(config.device)
    corpus = _corpus_of(config, corpora)
    with torch.random.fork_rng():
        build(config, corpus)


def _check_other_text(
    evaluation: EvaluationConfig, runs: Sequence[GridRun], corpora: dict[str, Corpus]
) -> None:
    """Refuse text to score that a run could not be evaluated on, before anything is trained."""
    if evaluation.data is None:
        return
    configs = {id(_corpus_of(run.config, corpora)): run.config for run in runs}
    for config in configs.values():
        corpus = _corpus_of(config, corpora)
        sizes, names = sizes_of(corpus), corpus.label_names
        try:
            load_other_text(evaluation, config, sizes, names, corpus.tokenizer)
        except UserError as error:
            raise UserError(f"evaluation: {error}") from error


def _other_text(run: GridRun, corpora: dict[str, Corpus]) -> str | None:
    """That the text of the run in the folder was another, in words; None where it was not."""
    if not run.files.config_json.is_file():
        return None
    fingerprint = _corpus_of(run.config, corpora).fingerprint
    stored = run.files.read_config()["corpus_fingerprint"]
    if stored == fingerprint:
        return None
    return f"other text in {run.config.data} (fingerprint {stored}, now {fingerprint})"


def _corpus_of(config: TrainConfig, corpora: dict[str, Corpus]) -> Corpus:
    named = [getattr(config, name) for name in _OF_THE_CORPUS]
    text = json.dumps([*named, labelled_seed_of(config)], sort_keys=True)
    if text not in corpora:
        corpora[text] = load_corpus_of(config)
    return corpora[text]
