# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pareto k-hat of every sentence: which estimates are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyro_textvae.report.blocks import Block, Note, Picture, Section
from pyro_textvae.report.canvas import BLUE, DARK, ORANGE, PALE, draw
from pyro_textvae.report.per_run import for_each_run, picture_name
from pyro_textvae.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNRELIABLE = 0.7
_GOOD = 0.5
_LOW, _HIGH, _WIDTH = -1.0, 2.0, 0.1

_LEAD = (
    "The shape of the tail of each sentence's importance weights. Up to 0.5 the weights have a "
    "finite variance, and the error can be trusted; above 0.7 the nll of the sentence is likely "
    "too high by more than its error. The outermost bars hold what lies beyond them."
)


def khat(runs: Sequence[RunRecord]) -> Section:
    """Histogram of k-hat with the line at 0.7, and the shares on either side."""

    def blocks_of(run: RunRecord) -> list[Block]:
        if not run.has_latent:
            return [run.lacks("importance weight")]
        if run.sentences is None:
            return [run.sentences_note or run.lacks("k-hat of the sentences")]
        values = run.sentences["khat"]
        finite = values[values.isfinite()]
        blocks: list[Block] = []
        if len(finite):
            blocks.append(_picture(run, finite, runs))
        if len(finite) < len(values):
            blocks.append(
                Note(
                    f"{len(values) - len(finite):,} of {len(values):,} sentences have no k-hat: "
                    "fewer than 100 draws, or weights that are all the same, as at a collapsed "
                    "posterior, or that are not finite.",
                    "plain" if len(finite) else "missing",
                )
            )
        return blocks

    return Section("Trust: Pareto k-hat by sentence", "khat", for_each_run(runs, blocks_of, _LEAD))


def khat_counts(values: Tensor) -> Tensor:
    """Number of sentences in each bin of 0.1 from -1 to 2; the first and last hold what is beyond.

    Bins are closed above, as the thresholds are: 0.7 itself is not above 0.7.

    :param values: k-hat of each sentence, ``(N,)``.
    :returns: counts, ``(30,)``.

    >>> khat_counts(torch.tensor([-3.0, 0.7, 0.71])).nonzero().flatten().tolist()
    [0, 16, 17]
    """
    bins = round((_HIGH - _LOW) / _WIDTH)
    place = ((values.double() - _LOW) / _WIDTH - 1e-9).floor().clamp(0, bins - 1).long()
    return torch.bincount(place, minlength=bins)


def _picture(run: RunRecord, values: Tensor, runs: Sequence[RunRecord]) -> Picture:
    good = (values <= _GOOD).double().mean().item()
    bad = (values > UNRELIABLE).double().mean().item()
    groups = (
        (f"up to 0.5: {100 * good:.1f} %", BLUE, ""),
        (f"0.5 to 0.7: {100 * (1 - good - bad):.1f} %", PALE, "//"),
        (f"above 0.7: {100 * bad:.1f} %", ORANGE, "xx"),
    )
    counts = khat_counts(values)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for (label, colour, hatch), (start, stop) in zip(
            groups, ((_LOW, _GOOD), (_GOOD, UNRELIABLE), (UNRELIABLE, _HIGH)), strict=True
        ):
            first, last = (round((end - _LOW) / _WIDTH) for end in (start, stop))
            lefts = [_LOW + _WIDTH * index for index in range(first, last)]
            axes.bar(
                lefts,
                counts[first:last].tolist(),
                width=_WIDTH,
                align="edge",
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.8,
                label=label,
            )
        axes.axvline(UNRELIABLE, color=DARK, linewidth=1.3)
        axes.annotate(
            "0.7",
            (UNRELIABLE, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
        )
        axes.set_xlim(_LOW, _HIGH)
        ticks = [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
        ends = {_LOW: "≤ −0.9", _HIGH: "> 1.9"}
        names = [ends.get(tick, f"{tick:g}").replace("-", "−") for tick in ticks]
        axes.set_xticks(ticks, names)
        axes.set_xlabel("k-hat")
        axes.set_ylabel("sentences")
        axes.grid(axis="x", visible=False)
        axes.legend(title=f"{len(values):,} sentences", alignment="left")

    alt = f"Histogram of k-hat of {run.name}: {'; '.join(label for label, _, _ in groups)}."
    name = picture_name("khat", run, runs)
    return draw(name, (940, 360), paint, alt=alt, caption="")
