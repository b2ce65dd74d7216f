# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The nll by the length of the sentence, per sentence and per token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from pyro_textvae.report.blocks import Note, Picture, Section, Table
from pyro_textvae.report.canvas import draw, drawable, legend_of_runs, line_style
from pyro_textvae.report.per_run import title_of
from pyro_textvae.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BINS = 10

_CAPTION = (
    "Sentences in groups of like length, about as many in each; a point stands at the mean length "
    "of its group. Bars are one standard error over the sentences of the group: what others of "
    "that length would do."
)


@dataclass(frozen=True)
class LengthBin:
    """Sentences of ``shortest`` to ``longest`` tokens; nats, with standard errors."""

    shortest: int
    longest: int
    mean_length: float
    num_sentences: int
    nll: float
    nll_error: float
    per_token: float
    per_token_error: float


def length_bins(tokens: Tensor, nll: Tensor, most: int = _MOST_BINS) -> list[LengthBin]:
    """Groups of sentences of similar length, at most ``most``; all of one length in one group.

    The nll per token of a group is total nats over total tokens; its standard error is that of a
    ratio of means (delta method). Errors are NaN in a group of one sentence.

    :param tokens: tokens of each sentence, ``(N,)``.
    :param nll: nats of each sentence, ``(N,)``.

    >>> import torch
    >>> bins = length_bins(torch.tensor([2, 9, 2, 9]), torch.tensor([5.0, 18.0, 7.0, 18.0]), 2)
    >>> [(group.shortest, group.longest, group.nll, group.per_token) for group in bins]
    [(2, 2, 6.0, 3.0), (9, 9, 18.0, 2.0)]
    """
    order = tokens.argsort(stable=True)
    lengths, nll = tokens[order].double(), nll[order].double()
    size = math.ceil(len(lengths) / most)
    starts, stop = [0], len(lengths)
    for index in range(1, stop):
        if index - starts[-1] >= size and lengths[index] > lengths[index - 1]:
            starts.append(index)
    ends = [*starts[1:], stop]
    return [
        _bin(lengths[first:last], nll[first:last]) for first, last in zip(starts, ends, strict=True)
    ]


def _bin(lengths: Tensor, nll: Tensor) -> LengthBin:
    count = len(lengths)
    per_token = (nll.sum() / lengths.sum()).item()
    error = error_per_token = math.nan
    if count > 1:
        error = nll.std().item() / math.sqrt(count)
        residual = (nll - per_token * lengths).square().sum() / (count - 1)
        error_per_token = math.sqrt(residual.item() / count) / lengths.mean().item()
    return LengthBin(
        int(lengths[0]),
        int(lengths[-1]),
        lengths.mean().item(),
        count,
        nll.mean().item(),
        error,
        per_token,
        error_per_token,
    )


def length(runs: Sequence[RunRecord]) -> Section:
    """The nll per sentence and per token by the number of tokens, all runs in one picture."""
    bins, unknown = {}, []
    for run in runs:
        if run.sentences is None:
            continue
        if (run.evaluation or {}).get("beside_text"):
            text = f"The nll of the text alone is not known of {run.name}: more is observed."
            unknown.append(Note(text, "missing"))
            continue
        known = run.sentences["log_px"].isfinite()
        if known.any():
            columns = run.sentences["num_tokens"][known], -run.sentences["log_px"][known]
            bins[run.number] = length_bins(*columns)
        if not known.all():
            count = len(known) - int(known.sum())
            text = f"{count:,} of {len(known):,} sentences of {run.name} have no finite nll."
            unknown.append(Note(text, "warning"))

    shown = [run for run in runs if run.number in bins]
    notes = [
        run.sentences_note or run.lacks("numbers of single sentences")
        for run in runs
        if run.sentences is None
    ]
    pictures = [_picture(shown, bins)] if shown else []
    tables = [_table(title_of(run, runs), bins[run.number]) for run in shown]
    return Section(
        "Negative log-likelihood by sentence length",
        "length",
        (*pictures, *tables, *unknown, *notes),
    )


def _picture(runs: Sequence[RunRecord], bins: dict[int, list[LengthBin]]) -> Picture:
    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 2)
        for run in runs:
            groups = bins[run.number]
            lengths = [group.mean_length for group in groups]
            label = f"{run.number}: {drawable(run.name)}"
            for axes, values, errors in (
                (panels[0], [g.nll for g in groups], [g.nll_error for g in groups]),
                (panels[1], [g.per_token for g in groups], [g.per_token_error for g in groups]),
            ):
                style = line_style(run.number)
                axes.errorbar(lengths, values, errors, label=label, capsize=2.5, **style)
        for axes, unit in zip(panels, ("sentence", "token"), strict=True):
            axes.set_title(f"nll per {unit}")
            axes.set_xlabel("tokens of the sentence, <eos> counted")
            axes.set_ylabel(f"nats per {unit}")
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
        if len(runs) > 1:
            legend_of_runs(figure, panels[0])

    ranges = "; ".join(
        f"{run.name}: {bins[run.number][0].per_token:.3f} nats per token in its shortest "
        f"sentences, {bins[run.number][-1].per_token:.3f} in its longest"
        for run in runs
    )
    alt = f"The nll by sentence length. {ranges}."
    size = (940, 360 + 20 * (len(runs) > 1))
    return draw("nll-by-length", size, paint, alt=alt, caption=_CAPTION)


def _table(title: str, groups: Sequence[LengthBin]) -> Table:
    def row(group: LengthBin) -> tuple[str, ...]:
        ends = dict.fromkeys((group.shortest, group.longest))
        return (
            " to ".join(map(str, ends)),
            f"{group.num_sentences:,}",
            _with_error(group.nll, group.nll_error),
            _with_error(group.per_token, group.per_token_error),
        )

    headings = ("tokens", "sentences", "nats per sentence", "nats per token")
    return Table(headings, tuple(map(row, groups)), f"In numbers: {title}", folded=True)


def _with_error(value: float, error: float) -> str:
    return f"{value:.3f} ± {error:.3f}" if math.isfinite(error) else f"{value:.3f}"
