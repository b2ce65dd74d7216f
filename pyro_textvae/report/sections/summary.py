# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of the evaluations side by side, with their warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.evaluation.importance.warnings_of import UNTRUSTED_SHARE
from pyro_textvae.report.blocks import Block, Note, Section, Table
from pyro_textvae.report.per_run import title_of
from pyro_textvae.report.quantity_text import PAGE, has_latent, quantity_text
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder import quantities
from pyro_textvae.run_folder.quantity import Quantity

_CAPTION = (
    "Nats per sentence are summed over its tokens; <eos> counts as a token, <bos> and <pad> do "
    "not. The nll is an upper bound in expectation; so is minus the evidence lower bound, which "
    "lies above the nll up to the error of the draws. The Monte Carlo error is that of the draws, "
    "the sampling error that of the sentences."
)


def summary(runs: Sequence[RunRecord]) -> Section:
    """One column a run; rows of which no run knows anything are left out."""
    shown = [run for run in runs if run.evaluation is not None]
    blocks: list[Block] = [run.evaluation_note for run in runs if run.evaluation_note is not None]
    results = [run.evaluation for run in shown if run.evaluation is not None]
    if results:
        rows = [
            (
                f"{row.label}, {row.unit}" if row.unit else row.label,
                *(_cell(row, result) for result in results),
            )
            for row in quantities.ordered(quantities.PAGE)
            if row.label
        ]
        rows = [row for row in rows if set(row[1:]) != {PAGE.dash}]
        names = tuple(title_of(run, runs) for run in shown)
        texts = [_text(result) for result in results]
        heading = texts[0] if len(set(texts)) == 1 else ""
        if not heading:
            rows.insert(0, ("text", *texts))
        headings = (heading, *names)
        blocks.append(Table(headings, tuple(rows), _CAPTION))
    for run in shown:
        whose = f"{run.name}: " if len(runs) > 1 else ""
        result = run.evaluation or {}
        of_weights = [run.weights_doubt] if run.weights_doubt else []
        warnings = [*of_weights, *(result.get("text_warnings") or ()), *_warnings(result)]
        blocks += [Note(f"{whose}{text}", "warning") for text in warnings]
        blocks += [Note(f"{whose}{text}") for text in _notes(result)]
    return Section("Summary", "summary", tuple(blocks))


def _cell(row: Quantity, result: Mapping[str, Any]) -> str:
    """A dash where there is no latent: the likelihood is exact then, and nothing is drawn."""
    if row.needs_latent and not has_latent(result):
        return PAGE.dash
    text = quantity_text(row, result, PAGE)
    is_exact = row.error and not has_latent(result) and text != PAGE.dash
    return f"{text} (exact)" if is_exact else text


def _text(result: Mapping[str, Any]) -> str:
    return f"{result.get('split', PAGE.dash)} split of {result.get('data', PAGE.dash)}"


def _notes(result: Mapping[str, Any]) -> list[str]:
    """How the numbers were made, and why some are missing."""
    return [*(result.get("notes") or ()), *(result.get("left_out") or ())]


def _warnings(result: Mapping[str, Any]) -> list[str]:
    if "warnings" in result:
        return [str(text) for text in result["warnings"]]
    share = result.get("heavy_tail_share")
    if share is None or share <= UNTRUSTED_SHARE:
        return []
    return [
        f"k-hat is above 0.7 for {100 * share:.1f} % of the sentences: the nll may be too high by "
        "more than its error; raise --num-samples"
    ]
