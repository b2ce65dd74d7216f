# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs against each other on the sentences that all of them were evaluated on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import Comparison, compare
from pyro_textvae.evaluation.comparison import LEVEL
from pyro_textvae.run_folder import RunFolder, paths_of_runs
from pyro_textvae.run_folder.assessed_run import AssessmentError, read_assessment
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.evaluated_run import (
    SAME,
    EvaluatedRun,
    EvaluationError,
    compared_names,
    evaluate_command,
    read_evaluated_run,
)

OF_LABELS = (
    *("nll_joint", "nll_joint_standard_error", "label_nll", "label_nll_standard_error"),
    *("label_nll_by_guide", "num_labelled"),
)
"""The numbers of a run that are of text and label, or of the label; most runs have none."""
MOST_RUNS_IN_ALL_PAIRS = 3
"""Of more runs, the first is compared with each of the others."""


def compare_runs(
    paths: Sequence[str | Path], *, num_resamples: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """Every run's numbers, and the paired differences between runs, in nats per sentence.

    All pairs of up to three runs are compared; of more, the first with each of the others.
    ``best`` is the run of the lowest nll, where its interval against every other excludes a tie.

    :param seed: of the bootstrap over sentences.
    :raises UserError: when a run is not evaluated, its files are damaged, it has other weights than
        were evaluated, or the runs were not evaluated on the same sentences.
    """
    folders = paths_of_runs(paths)
    if len(folders) < 2:
        raise UserError(
            f"compare needs at least two runs, got {len(folders)}: pyro-textvae compare RUN RUN"
        )
    places = [os.path.realpath(folder) for folder in folders]
    for path, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"the run {path} is given twice: give every run once")
    runs = _read(folders)
    for run in runs[1:]:
        check_same_sentences(runs[0], run)
    all_pairs = combinations(range(len(runs)), 2)
    shown = [pair for pair in all_pairs if len(runs) <= MOST_RUNS_IN_ALL_PAIRS or pair[0] == 0]
    comparisons = {pair: _compare(runs, pair, num_resamples, seed) for pair in shown}
    return {
        **what_was_scored(runs[0]),
        "runs": [run_summary(run) | assessed(run.name) for run in runs],
        "pairs": [_described(runs, pair, comparisons[pair]) for pair in shown],
        **_with_labels(runs, shown, num_resamples, seed),
        "best": _best(runs, comparisons, num_resamples, seed),
        "bootstrap": describe_bootstrap(num_resamples, seed),
        "environment": describe_environment(),
    }


def _read(folders: Sequence[Path]) -> list[EvaluatedRun]:
    """The last evaluation of each run.

    :raises UserError: with all that have none which is fit to be compared.
    """
    runs, reasons = [], []
    for folder in folders:
        try:
            runs.append(read_evaluated_run(folder))
        except EvaluationError as error:
            reasons.append(str(error))
    if reasons:
        raise UserError("; ".join(reasons))
    return runs


def what_was_scored(run: EvaluatedRun) -> dict[str, Any]:
    """What two runs must have in common for their sentences to be compared.

    Beside it, of documents, how many sentences they have.
    """
    of_documents = run.evaluation.get("num_document_sentences")
    scored = {name: run.evaluation[name] for name in SAME}
    return scored | {"num_document_sentences": of_documents}


def describe_bootstrap(num_resamples: int, seed: int) -> dict[str, Any]:
    """How the intervals of a comparison are made."""
    return {
        "method": "bias-corrected and accelerated, over sentences",
        "level": LEVEL,
        "num_resamples": num_resamples,
        "seed": seed,
    }


def _compare(
    runs: Sequence[EvaluatedRun], pair: tuple[int, int], num_resamples: int, seed: int
) -> Comparison:
    return compare_two(runs[pair[0]], runs[pair[1]], num_resamples, seed)


def compare_two(a: EvaluatedRun, b: EvaluatedRun, num_resamples: int, seed: int) -> Comparison:
    """The paired difference of two runs.

    :raises UserError: with their names, where sentences differ or have no estimate.
    """
    for run in (a, b):
        if run.evaluation.get("beside_text"):
            names = ", ".join(map(repr, run.evaluation["beside_text"]))
            raise UserError(
                f"cannot compare a = {a.name} with b = {b.name}: the scores of {run.name} are of "
                f"the text and of {names} together, not of the text"
            )
    try:
        return compare(a, b, num_resamples=num_resamples, seed=seed)
    except ValueError as error:
        raise UserError(f"cannot compare a = {a.name} with b = {b.name}: {error}") from error


def _described(
    runs: Sequence[EvaluatedRun], pair: tuple[int, int], comparison: Comparison
) -> dict[str, Any]:
    return described(runs[pair[0]].name, runs[pair[1]].name, comparison)


def described(a: str, b: str, comparison: Comparison) -> dict[str, Any]:
    """A comparison of programs of these names as plain values."""
    result = {
        "a": a,
        "b": b,
        "difference": comparison.difference,
        "interval": list(comparison.interval),
        "monte_carlo_error": comparison.monte_carlo_error,
        "share_better": comparison.share_better,
        "better": {-1: a, 0: None, 1: b}[comparison.sign],
        "verdict": comparison.verdict(a, b),
    }
    if comparison.num_settled is not None:
        result["num_settled"] = comparison.num_settled
        result["biases"] = list(comparison.biases)
    if comparison.guide_difference is not None and comparison.guide_interval is not None:
        result["guide_difference"] = comparison.guide_difference
        result["guide_interval"] = list(comparison.guide_interval)
    remarks = comparison.remarks(a, b)
    return {**result, "remarks": remarks} if remarks else result


def _with_labels(
    runs: Sequence[EvaluatedRun],
    pairs: Sequence[tuple[int, int]],
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The paired differences of the nll of text and label; nothing without two that have it."""
    joint = [run.joint for run in runs]
    described = []
    for first, second in pairs:
        a, b = joint[first], joint[second]
        if a is not None and b is not None:
            comparison = compare_two(a, b, num_resamples, seed)
            described.append(_described(runs, (first, second), comparison))
    return {"pairs_joint": described} if described else {}


def _best(
    runs: Sequence[EvaluatedRun],
    comparisons: dict[tuple[int, int], Comparison],
    num_resamples: int,
    seed: int,
) -> str | None:
    lowest = max(range(len(runs)), key=lambda place: runs[place].log_px.mean().item())
    for place in range(len(runs)):
        if place == lowest:
            continue
        pair = (min(lowest, place), max(lowest, place))
        comparison = comparisons.get(pair) or _compare(runs, pair, num_resamples, seed)
        if comparison.sign != (-1 if lowest == pair[0] else 1):
            return None
    return runs[lowest].name


def run_summary(run: EvaluatedRun) -> dict[str, Any]:
    """The numbers of one run, as plain values."""
    draws = run.columns["num_samples"]
    return {
        "run": run.name,
        **{name: run.evaluation[name] for name in compared_names()},
        "weights_sha256": run.evaluation.get("weights_sha256"),
        "weights_doubt": run.doubt,
        "num_samples_range": [int(draws.min()), int(draws.max())],
        **({} if run.bias is None else {"bias_known": True}),
        **{name: run.evaluation[name] for name in OF_LABELS if name in run.evaluation},
    }


def assessed(path: str | Path | RunFolder) -> dict[str, Any]:
    """The numbers of a run's text that have a column; empty where it was not assessed.

    ``generation_doubt`` says why there are none of an assessment that is there.
    """
    if not RunFolder.of(path).generation.is_file():
        return {}
    try:
        assessment = read_assessment(path)
    except AssessmentError as error:
        return {"generation_doubt": str(error)}
    numbers = assessment["numbers"].items()
    return {
        "generation": {
            "numbers": {name: number for name, number in numbers if number["column"]},
            "split": assessment.get("split"),
            "settings": assessment["settings"],
        }
    }


def check_same_sentences(a: EvaluatedRun, b: EvaluatedRun) -> None:
    """Refuse runs whose evaluations differ in what was scored, or in how it is counted.

    :raises UserError: with what differs, and what to do about it.
    """
    differing = [name for name in SAME if a.evaluation[name] != b.evaluation[name]]
    if not differing:
        return
    name = differing[0]
    values = f"{a.name} has {a.evaluation[name]!r}, {b.name} has {b.evaluation[name]!r}"
    evaluate = evaluate_command(b.name)
    reason, what_to_do = {
        "units": ("in different units", f"evaluate both with one version, {evaluate}"),
        "corpus_fingerprint": (
            "on different text or with different tokenizers",
            "train both on one corpus with one tokenizer, or score both on one text with "
            "pyro-textvae evaluate RUN --data TEXT",
        ),
        "split": ("on different splits", f"{evaluate} --split {a.evaluation['split']}"),
        "num_sentences": ("on different numbers of sentences", f"evaluate both anew, {evaluate}"),
        "num_tokens": ("on different numbers of tokens", f"evaluate both anew, {evaluate}"),
    }[name]
    raise UserError(f"the runs were scored {reason} ({name}: {values}): {what_to_do}")
