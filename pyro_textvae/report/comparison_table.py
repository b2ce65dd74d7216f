# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A comparison of runs as text that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyro_textvae.data.corpus import MANY_UNKNOWN
from pyro_textvae.report.columns import number, padded
from pyro_textvae.report.generation_columns import generation_lines
from pyro_textvae.run_folder import quantities
from pyro_textvae.run_folder.quantity import Quantity
from pyro_textvae.units import nats_per_text

FEWEST_SENTENCES = 30
"""With fewer, an interval from resampling is noticeably too narrow."""
_BEST = "*"
_LEFT = "<"
_RIGHT = ">"


def scored_text(result: dict[str, Any]) -> str:
    """How much text was scored, and the unit of its numbers.

    >>> scored_text({"num_sentences": 400, "num_tokens": 2000, "num_document_sentences": 1000})
    '400 documents of 1,000 sentences, 2,000 tokens, nats per document'
    """
    of_documents = result.get("num_document_sentences")
    documents = "" if of_documents is None else f"documents of {of_documents:,} "
    return (
        f"{result['num_sentences']:,} {documents}sentences, {result['num_tokens']:,} tokens, "
        f"{nats_per_text(result)}"
    )


def comparison_table(result: dict[str, Any]) -> str:
    """A row for each run, a row and a verdict for each pair, and what to beware of."""
    runs, pairs = result["runs"], result["pairs"]
    title = f"{len(runs)} runs on {runs[0]['data']}, {result['split']} split: {scored_text(result)}"
    lines = [title, *_run_rows(runs, result["best"])]
    if result["best"] is not None:
        lines.append(f"  {_BEST} better than every other run by its interval")
    level = f"{100 * result['bootstrap']['level']:.0f} %"
    resamples = result["bootstrap"]["num_resamples"]
    lines += [
        "",
        f"nll of a minus nll of b, sentence by sentence; each {level} interval from {resamples:,} "
        "resamples of the sentences",
        *_pair_rows(pairs, level),
        "",
        *(line for pair in pairs for line in _verdict(pair)),
        *_of_labels(result, level),
    ]
    lines += generation_lines(runs)
    cautions = _cautions(result)
    if cautions:
        lines += ["", *(f"  caution: {caution}" for caution in cautions)]
    return "\n".join(lines)


def _run_rows(runs: Sequence[dict[str, Any]], best: str | None) -> list[str]:
    """A column for each compared quantity; after one with an error, the error and a mark."""
    shown = quantities.compared()
    heading = ["run"]
    sides = _LEFT
    for each in shown:
        heading += [each.heading, "", ""] if each.error else [each.heading]
        sides += _LEFT if each.kind == "words" else _RIGHT
        sides += 2 * _LEFT if each.error else ""
    rows = [heading]
    for run in runs:
        cells = [run["run"]]
        for each in shown:
            cells.append(_cell(each, run))
            if each.error:
                error = "exact" if run["exact"] else f"+- {number(run[each.error], each.digits)}"
                cells += [error, _BEST if each.name == "nll" and run["run"] == best else ""]
        rows.append(cells)
    return _aligned(rows, sides)


def _cell(shown: Quantity, run: dict[str, Any]) -> str:
    if shown.needs_latent and run["exact"]:
        return "-"
    if shown.name == "num_samples":
        return _draws(run)
    value = shown.value(run)
    if shown.kind == "share" and value is not None:
        value = 100 * value
    return str(value) if shown.kind == "words" else number(value, shown.digits)


def _pair_rows(pairs: Sequence[dict[str, Any]], level: str) -> list[str]:
    rows = [("a", "b", "difference", f"{level} interval", "Monte Carlo", "a better")]
    for pair in pairs:
        low, high = pair["interval"]
        rows.append(
            (
                pair["a"],
                pair["b"],
                f"{pair['difference']:+.3f}",
                f"[{low:+.3f}, {high:+.3f}]",
                f"+- {pair['monte_carlo_error']:.3f}",
                f"{100 * pair['share_better']:.1f} %",
            )
        )
    return _aligned(rows, "<<>>>>")


def _of_labels(result: dict[str, Any], level: str) -> list[str]:
    """The runs that know the nll of text and label, and of the label, and their differences."""
    known = [run for run in result["runs"] if run.get("label_nll") is not None]
    if not known:
        return []
    rows = [["run", "nll_joint", "", "label nll", "", "by its guide"]]
    for run in known:
        cells = [run["run"]]
        for name in ("nll_joint", "label_nll"):
            error = run.get(f"{name}_standard_error")
            cells += [number(run[name], 3), f"+- {number(error, 3)}"]
        rows.append([*cells, number(run.get("label_nll_by_guide"), 3)])
    lines = [
        "",
        "with the labels: nll_joint of text and label, nats per sentence; label nll of the label "
        "given the text, nats a label",
        *_aligned(rows, "<><><>"),
    ]
    pairs = result.get("pairs_joint", [])
    if pairs:
        heading = "nll_joint of a minus nll_joint of b, sentence by sentence"
        lines += ["", heading, *_pair_rows(pairs, level)]
    return lines


def _verdict(pair: dict[str, Any]) -> list[str]:
    """The verdict of a pair, and under it what is behind it."""
    return [
        f"  {pair['a']} and {pair['b']}: {pair['verdict']}",
        *(f"    {remark}" for remark in pair.get("remarks", ())),
    ]


def _aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Columns two spaces apart, each flush with its side."""
    return [("  " + "  ".join(row)).rstrip() for row in padded(rows, sides)]


def _cautions(result: dict[str, Any]) -> list[str]:
    estimated = [run for run in result["runs"] if not run["exact"]]
    cautions = [
        f"{run['run']}: {run['weights_doubt']}"
        for run in result["runs"]
        if run.get("weights_doubt")
    ]
    cautions += unknown_tokens([(run["run"], run) for run in result["runs"]])
    for run in estimated:
        if run["heavy_tail_share"] is None:
            cautions.append(
                f"{run['run']} has too few draws to tell how far its nll is too high: "
                "evaluate it with --num-samples 100 or more"
            )
        if run["warnings"]:
            held = (
                "which the intervals hold as far as it is known"
                if run.get("bias_known")
                else "which no interval holds: raise --num-samples"
            )
            cautions.append(
                f"{run['run']}: {'; '.join(run['warnings'])}; what speaks against it may be that "
                f"bias, {held}"
            )
    ways = {(_draws(run), str(run["proposal"])) for run in estimated}
    if len(ways) > 1:
        described = "; ".join(
            f"{run['run']} by {_draws(run)} draws, proposal {run['proposal']}" for run in estimated
        )
        cautions.append(
            f"the runs were scored in different ways ({described}), so their bias differs: "
            "evaluate them alike"
        )
    if result["num_sentences"] < FEWEST_SENTENCES:
        cautions.append(
            f"{result['num_sentences']} sentences are few: the intervals are too narrow; "
            "compare on more"
        )
    return cautions


def unknown_tokens(runs: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """What to say of runs, by their names, that were scored on many unknown tokens."""
    names_of: dict[str, list[str]] = {}
    for name, run in runs:
        share = run["unknown_token_share"]
        if share is not None and share > MANY_UNKNOWN:
            names_of.setdefault(f"{100 * share:.1f} %", []).append(name)
    return [
        f"{', '.join(names)}: {share} of the tokens are unknown, and the nll is that of <unk> in "
        "their place, lower than the text's"
        for share, names in names_of.items()
    ]


def _draws(run: dict[str, Any]) -> str:
    least, most = run["num_samples_range"]
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
