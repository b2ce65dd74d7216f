# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The text of compared runs: a column for some of the numbers of their assessments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyro_textvae.report.columns import padded
from pyro_textvae.report.generation_rows import interval_of, value_of

_BESIDE = ("metrics", "statistics", "num_replicates", "replicate_size", "num_draws")
_OF_THE_COMMAND = ("run", "trust_code", "json", "out")
"""What files of earlier versions have beside the settings of an assessment."""


def generation_lines(runs: Sequence[dict[str, Any]]) -> list[str]:
    """A row for each assessed run, and what makes the rows incomparable; empty without any.

    :param runs: summaries, of which some have ``generation`` or ``generation_doubt``.
    """
    doubts = [
        f"  caution: {run['run']}: {run['generation_doubt']}"
        for run in runs
        if "generation_doubt" in run
    ]
    shown = [run for run in runs if "generation" in run]
    if not shown:
        return ["", *doubts] if doubts else []
    columns: dict[str, str] = {}
    for run in shown:
        for name, number in run["generation"]["numbers"].items():
            columns.setdefault(name, number["column"])
    rows = [["run", *(cell for heading in columns.values() for cell in (heading, ""))]]
    for run in shown:
        numbers = run["generation"]["numbers"]
        cells = [run["run"]]
        for name in columns:
            number = numbers.get(name)
            cells += ["-", ""] if number is None else [_value(number), interval_of(number)]
        rows.append(cells)
    table = [f"  {'  '.join(row)}".rstrip() for row in padded(rows, "<" + "><" * len(columns))]
    return [
        "",
        "the text that the runs write, each with its 95 % interval",
        *table,
        *_cautions(shown),
        *doubts,
    ]


def _value(number: dict[str, Any]) -> str:
    return value_of(number, number["value"])


def _cautions(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Settings of the assessments that differ."""
    first = runs[0]["generation"]
    lines = []
    for run in runs[1:]:
        other = run["generation"]
        names = {"split": (first["split"], other["split"])}
        for name in sorted({*first["settings"], *other["settings"]} - {*_BESIDE, *_OF_THE_COMMAND}):
            names[name] = (first["settings"].get(name), other["settings"].get(name))
        differing = [name for name, (a, b) in names.items() if a != b]
        if differing:
            lines.append(
                f"  caution: {run['run']} was assessed with another {', '.join(differing)} than "
                f"{runs[0]['run']}: assess them alike"
            )
    judges = {run["generation"]["settings"].get("language_model") for run in runs}
    if len(runs) > 1 and judges == {None}:
        lines.append(
            "  caution: every run was judged by a language model of its own: give one to all with "
            "--language-model"
        )
    return lines
