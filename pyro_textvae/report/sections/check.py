# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The independent check of the nll: annealing beside it, and the sandwich on simulated text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyro_textvae.report.blocks import Block, Note, Picture, Section, Table
from pyro_textvae.report.canvas import BLUE, DARK, ORANGE, draw
from pyro_textvae.report.per_run import for_each_run, picture_name
from pyro_textvae.report.quantity_text import PAGE, filled, is_known, quantity_text
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder.evaluated_run import evaluate_command
from pyro_textvae.run_folder.quantities import ordered, quantity
from pyro_textvae.run_folder.quantity import Group, Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAD = (
    "Annealed importance sampling estimates log p(x) in its own way, from a sample of the "
    "sentences and from those with the worst k-hat. A mean difference of more than three errors "
    "and 0.05 nats says that the nll of the evaluation is too high."
)
_SANDWICH = (
    "On text that the model itself wrote, annealing to the posterior bounds log p(x) from below, "
    "and annealing back from the latent that made the text bounds it from above: the gap shows how "
    "far the annealing itself can be trusted for this decoder."
)
_BOUNDS = (
    "The same sentences from both sides. Annealing back begins where the chains came, not at exact "
    "draws, so that the upper bound is approximate; the sandwich on simulated text is exact."
)
_GAPS = "How far the evidence lower bound is from log p(x), and why (Cremer et al., 2018)."


def check(runs: Sequence[RunRecord]) -> Section:
    """Annealed against checked estimates, and the bounds from both sides."""

    def blocks_of(run: RunRecord) -> list[Block]:
        results = (run.evaluation or {}).get("check")
        if run.evaluation is None or not run.has_latent:
            return [run.lacks("check by annealing")]
        if not results:
            command = f"{evaluate_command(run.path, run.evaluation)} --check"
            return [Note(f"The evaluation of {run.name} was not checked.", "missing", command)]
        blocks: list[Block] = []
        if results.get("annealing"):
            blocks += _annealing_blocks(run, run.evaluation, runs)
            blocks += _bounds_blocks(run.evaluation)
        if results.get("bidirectional"):
            caption = f"{_SANDWICH} ({_settings(results['bidirectional'])})"
            blocks.append(_table_of("sandwich", run.evaluation, "simulated sentences", caption))
        if results.get("gaps"):
            blocks.append(_table_of("gaps", run.evaluation, "sentences", _GAPS))
        return [*blocks, *(Note(f"{text}.", "missing") for text in results.get("left_out") or ())]

    return Section("Independent check by annealing", "check", for_each_run(runs, blocks_of, _LEAD))


def _annealing_blocks(
    run: RunRecord, evaluation: Mapping[str, Any], runs: Sequence[RunRecord]
) -> list[Block]:
    annealing = evaluation["check"]["annealing"]
    labelled = _labelled("annealing")
    rows = [
        (each.label, _count(each, evaluation), quantity_text(each, evaluation, PAGE))
        for each in labelled
        if is_known(each.value(evaluation))
    ]
    warnings = [
        Note(filled(each.page_warning, evaluation, PAGE), "warning")
        for each in ordered(("annealing",))
        if each.page_warning and each.value(evaluation)
    ]
    shown = labelled[0]
    headings = ("", quantity(shown.count).title, f"{shown.title}, {shown.unit}")
    table = Table(headings, tuple(rows), _settings(annealing))
    pairs = _pairs(annealing)
    return [table, *warnings, *([_picture(run, pairs, runs)] if pairs else [])]


def _bounds_blocks(evaluation: Mapping[str, Any]) -> list[Block]:
    """Bounds of the sentences that were annealed, and of which they are not close."""
    sandwich = evaluation["check"]["annealing"].get("sandwich")
    if not sandwich:
        return []
    rows = tuple(
        (str(each["index"]), *(_number(each[name]) for name in ("lower", "upper")), each["why"])
        for each in sandwich.get("not_closed") or ()
    )
    headings = ("sentence", "lower bound", "upper bound", "why the bounds are not close")
    table = _table_of("bounds", evaluation, "sentences", _BOUNDS)
    return [table, *([Table(headings, rows, "In nats; places in the split.")] if rows else [])]


def _number(value: float | None) -> str:
    return f"{value:.3f}" if is_known(value) else PAGE.dash


def _table_of(group: Group, evaluation: Mapping[str, Any], sentences: str, caption: str) -> Table:
    """A row for each number of a group, all of them means over the same sentences."""
    labelled = _labelled(group)
    rows = tuple(
        (each.label, quantity_text(each, evaluation, PAGE))
        for each in labelled
        if is_known(each.value(evaluation))
    )
    headings = (f"{_count(labelled[0], evaluation)} {sentences}", labelled[0].unit)
    return Table(headings, rows, caption)


def _labelled(group: Group) -> list[Quantity]:
    return [each for each in ordered((group,)) if each.label]


def _count(shown: Quantity, evaluation: Mapping[str, Any]) -> str:
    return quantity_text(quantity(shown.count), evaluation, PAGE)


def _settings(results: Mapping[str, Any]) -> str:
    names = {
        "num_chains": "chains",
        "num_temperatures": "temperatures",
        "leapfrog_steps": "leapfrog steps",
        "evaluations": "decoder evaluations",
    }
    settings = [f"{results[key]:,} {name}" for key, name in names.items() if key in results]
    return ", ".join([*settings, *([f"seed {results['seed']}"] if "seed" in results else [])])


def _pairs(annealing: Mapping[str, Any]) -> list[tuple[float, float, float, bool]]:
    """Evaluated and annealed nll, error of the latter, and whether drawn at random."""
    columns = ("checked", "annealed", "annealed_error", "is_random")
    rows = zip(*(annealing.get(name) or () for name in columns), strict=True)
    return [
        (-checked, -annealed, error or 0.0, is_random)
        for checked, annealed, error, is_random in rows
        if checked is not None and annealed is not None
    ]


def _picture(
    run: RunRecord, pairs: Sequence[tuple[float, float, float, bool]], runs: Sequence[RunRecord]
) -> Picture:
    groups = (
        ("drawn at random", BLUE, "o", [pair for pair in pairs if pair[3]]),
        ("of worst k-hat only", ORANGE, "^", [pair for pair in pairs if not pair[3]]),
    )

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for label, colour, marker, group in groups:
            if not group:
                continue
            evaluated = [pair[0] for pair in group]
            annealed = [pair[1] for pair in group]
            errors = [1.96 * pair[2] for pair in group]
            style = {"color": colour, "marker": marker, "linestyle": "none", "alpha": 0.85}
            text = f"{label}: {len(group)}"
            left.plot(evaluated, annealed, label=text, **style)
            gains = [a - e for a, e in zip(annealed, evaluated, strict=True)]
            right.errorbar(evaluated, gains, errors, elinewidth=1, **style)
        ends = [value for pair in pairs for value in pair[:2]]
        room = 0.04 * (max(ends) - min(ends)) or 1.0
        span = (min(ends) - room, max(ends) + room)
        left.plot(span, span, color=DARK, linewidth=1, zorder=1)
        left.set_xlim(span)
        left.set_ylim(span)
        left.set_aspect("equal")
        left.set_title("both estimates, and where they agree")
        left.set_xlabel("evaluated nll, nats per sentence")
        left.set_ylabel("annealed nll, nats per sentence")
        left.legend()
        right.axhline(0.0, color=DARK, linewidth=1, zorder=1)
        right.set_title("their difference, ± 1.96 errors of annealing")
        right.set_xlabel("evaluated nll, nats per sentence")
        right.set_ylabel("annealed less evaluated nll, nats")

    mean = math.fsum(pair[1] - pair[0] for pair in pairs) / len(pairs)
    alt = (
        f"The nll of {len(pairs)} sentences of {run.name} by annealing against that of the "
        f"evaluation; annealed less evaluated {mean:+.3f} nats on average."
    )
    caption = "Each sentence by both estimates; below the line annealing finds the smaller nll."
    name = picture_name("annealing-check", run, runs)
    return draw(name, (940, 430), paint, alt=alt, caption=caption)
