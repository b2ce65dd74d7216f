# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The comparison of a grid as a table: Markdown that also reads as text, and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from pyro_textvae.evaluation.importance.warnings_of import UNTRUSTED_SHARE
from pyro_textvae.report.columns import number, padded
from pyro_textvae.report.comparison_table import FEWEST_SENTENCES, scored_text, unknown_tokens
from pyro_textvae.report.generation_columns import generation_lines
from pyro_textvae.run_folder import quantities
from pyro_textvae.run_folder.quantity import Quantity

_WIDTH = 118
_BEST = "*"
_MEANINGS = {
    "seed sd": "seed sd: standard deviation of the nll over seeds.",
    "mixed": "mixed: nll of one model that draws a seed, then a text by that seed's network; "
    "it has the parameters of all, and is lower with more.",
    "by q": "by q: what the guide's weights alone would add to the nll, on the same sentences.",
    "-elbo": "-elbo: minus the evidence lower bound.",
    "gap": "gap = -elbo - nll.",
    "mi": "mi: mutual information of text and latent.",
    "agg": "agg: KL of the aggregate posterior to the prior; kl = mi + agg.",
    "au": "au: active units.",
    "snr q": "snr: signal to noise of one draw of the objective's gradient at the end of training, "
    "of guide (q) and model (p).",
    "params": "params: parameters, those of the guide too.",
    "sec": "sec and tok/s: of training.",
    "khat %": "khat %: sentences with k-hat above 0.7.",
    "unk %": "unk %: tokens that are unknown, whose nll is that of <unk> in their place.",
}
"""What the columns mean that do not say it themselves, by heading."""
_OF_DIFFERENCES = (
    "difference",
    "low",
    "high",
    "monte_carlo_error",
    "seed_error",
    "seed_reach",
    "told_apart",
)


def grid_table(result: dict[str, Any]) -> str:
    """A row for each cell, then its difference to the best, what they mean, and what failed."""
    rows = result["rows"]
    blocks = [_title(result), _numbers(result)]
    if result["differences"]:
        blocks += [_differences(result)]
    written = generation_lines([{**run, "run": run["name"]} for row in rows for run in row["runs"]])
    if written:
        blocks.append("\n".join(line.rstrip() for line in written).strip())
    blocks.append("\n".join(f"- {line}" for line in _wrapped(_notes(result))))
    failures = [f"{name}: {reason}" for name, reason in result["failures"].items()]
    if failures:
        of_all = sum(row["num_runs"] for row in rows)
        lines = "\n".join(f"- {line}" for line in _wrapped(failures))
        blocks.append(f"{len(failures)} of {of_all} runs failed:\n\n{lines}")
    return "\n\n".join(blocks)


def grid_csv(result: dict[str, Any]) -> str:
    """A line for each cell with all numbers unrounded; empty where there is none."""
    differences = {each["a"]: each for each in result["differences"]}
    keys = [column.key for column in _columns(result)]
    keys += ["seed_information"]
    keys += [f"{each.name}_seed_sd" for each in _averaged(result) if each.name != "nll"]
    axes = list(result["rows"][0]["members"])
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    header = ["cell", *(f"axis_{axis}" for axis in axes), "finished_runs", "failed_runs", *keys]
    writer.writerow([*header, *_OF_DIFFERENCES])
    for row in result["rows"]:
        difference = differences.get(row["cell"], {})
        low, high = difference.get("interval", (None, None))
        values = {**difference, "low": low, "high": high}
        writer.writerow(
            [
                row["cell"],
                *(row["members"][axis] for axis in axes),
                len(row["runs"]),
                len(row["failed"]),
                *(row.get(key) for key in keys),
                *(values.get(name) for name in _OF_DIFFERENCES),
            ]
        )
    return written.getvalue()


def _title(result: dict[str, Any]) -> str:
    seeds = ", ".join(map(str, result["seeds"]))
    cells = f"{len(result['rows'])} cells, seeds {seeds}"
    if result["data"] is None:
        return f"{cells}: no run was finished"
    return f"{cells}, on {result['data']}, {result['split']} split: {scored_text(result)}"


def _numbers(result: dict[str, Any]) -> str:
    columns = _shown(result)
    rows = [("cell", *(column.heading for column in columns))]
    for row in result["rows"]:
        values = [(row[column.key], column) for column in columns]
        cells = [
            number(None if value is None else column.factor * value, column.digits)
            for value, column in values
        ]
        rows.append((_named(row, result["best"]), *cells))
    return _markdown(rows, "<" + ">" * len(columns))


class _Column(NamedTuple):
    key: str
    heading: str
    digits: int
    factor: int


def _averaged(result: dict[str, Any]) -> list[Quantity]:
    """The averaged quantities, less those of special text of which no cell knows anything."""
    return [
        each
        for each in quantities.averaged()
        if not each.added_later or any(row.get(each.name) is not None for row in result["rows"])
    ]


def _columns(result: dict[str, Any]) -> list[_Column]:
    """The averaged quantities; beside the nll, what the seeds do to it and their mixture."""
    columns = []
    for each in _averaged(result):
        assert each.averaged is not None
        heading, digits = each.averaged
        columns.append(_Column(each.name, heading, digits, 100 if each.kind == "share" else 1))
        if each.name == "nll":
            columns.append(_Column("nll_seed_sd", "seed sd", digits, 1))
            columns.append(_Column("nll_mixed", "mixed", digits, 1))
    return columns


def _shown(result: dict[str, Any]) -> list[_Column]:
    """The columns of which a cell knows something, and the nll in any case."""
    known = {key for row in result["rows"] for key, value in row.items() if value is not None}
    return [column for column in _columns(result) if column.key in {"nll", *known}]


def _named(row: dict[str, Any], best: str | None) -> str:
    name = row["cell"] + (f" {_BEST}" if row["cell"] == best else "")
    if not row["failed"]:
        return name
    return f"{name} ({len(row['failed'])} of {row['num_runs']} failed)"


def _differences(result: dict[str, Any]) -> str:
    level = f"{100 * result['bootstrap']['level']:.0f} %"
    best = result["differences"][0]["b"]
    against = "less that of" if "reference" in result else "above"
    rows = [
        (
            f"nll {against} {best}",
            "difference",
            f"{level} interval",
            f"seeds, {level}",
            "told apart",
        )
    ]
    for each in result["differences"]:
        low, high = each["interval"]
        reach = each["seed_reach"]
        rows.append(
            (
                each["a"],
                f"{each['difference']:+.3f}",
                f"[{low:+.3f}, {high:+.3f}]",
                "-" if reach is None else f"+- {reach:.3f}",
                _told_apart(each),
            )
        )
    return _markdown(rows, "<>>><")


def _told_apart(difference: dict[str, Any]) -> str:
    """Of runs of one seed each, as runs: another seed may turn the configurations round."""
    if not difference["told_apart"]:
        return "no"
    return "as runs" if difference["seed_reach"] is None else "yes"


def _markdown(rows: Sequence[Sequence[str]], sides: str) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    header, *body = padded(escaped, sides)
    rule = [
        "-" * (len(cell) - 1) + (":" if side == ">" else "-")
        for cell, side in zip(header, sides, strict=True)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *body))


def _notes(result: dict[str, Any]) -> list[str]:
    seeds_known = any(each["seed_reach"] is not None for each in result["differences"])
    headings = {column.heading for column in _shown(result)}
    meanings = [text for heading, text in _MEANINGS.items() if heading in headings]
    notes = [" ".join(["Means over seeds.", *meanings])]
    if result["differences"]:
        level = f"{100 * result['bootstrap']['level']:.0f} %"
        notes.append(
            f"Each {level} interval is over sentences ({result['bootstrap']['num_resamples']:,} "
            "resamples), every sentence averaged over the seeds: it does not hold what other seeds "
            "would do. "
            + (
                "The column of the seeds does, from what the seeds do beyond what they do to all "
                "cells alike, pooled over cells; where two seeds are not finished in every cell, "
                "from their spread in the cells that have several. Told apart needs an interval "
                "without a tie, and a difference above that of the seeds."
                if seeds_known
                else "No cell has two seeds, so that is not known here: cells told apart as runs "
                "may be alike as configurations."
            )
        )
    settled = [n for each in result["differences"] if (n := each.get("num_settled")) is not None]
    if settled and min(settled) < result["num_sentences"]:
        notes.append(
            "A difference is of the sentences whose estimates are settled in both cells, at least "
            f"{min(settled):,} of {result['num_sentences']:,}: it need not be that of the two nlls."
        )
    if result["best"] is not None:
        as_runs = "" if seeds_known else ", as runs"
        notes.append(f"{_BEST} told apart from every other cell{as_runs}.")
    elif result["differences"]:
        notes.append("No cell is told apart from every other.")
    if result["no_differences"]:
        notes.append(f"No differences: {result['no_differences']}.")
    return notes + _cautions(result)


def _cautions(result: dict[str, Any]) -> list[str]:
    runs = [run for row in result["rows"] for run in row["runs"]]
    named = [(run["name"], run) for run in runs]
    cautions = [f"Caution: {text}." for text in unknown_tokens(named)]
    untrusted = sum((run["heavy_tail_share"] or 0) > UNTRUSTED_SHARE for run in runs)
    if untrusted:
        cautions.append(
            f"Caution: the nll of {untrusted} of {len(runs)} runs may be too high by more than its "
            f"error (k-hat above 0.7 on more than {100 * UNTRUSTED_SHARE:.0f} % of sentences): "
            "raise num_samples."
        )
    if any(run["heavy_tail_share"] is None and not run["exact"] for run in runs):
        cautions.append(
            "Caution: too few draws to tell how far an nll is too high: num_samples of 100 or more."
        )
    if runs and result["num_sentences"] < FEWEST_SENTENCES:
        cautions.append(
            f"Caution: {result['num_sentences']} sentences are few: the intervals are too narrow."
        )
    return cautions


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [textwrap.fill(line, _WIDTH, subsequent_indent="  ") for line in lines]
