# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The plans of documents: the vector of each sentence, and the way from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_textvae.report.blocks import Block, Note, Section, Table
from pyro_textvae.report.canvas import BLUE, DARK, GREEN, ORANGE, PALE, PURPLE, draw
from pyro_textvae.report.decoded_run import DecodedRun
from pyro_textvae.report.per_run import for_each_run, picture_name
from pyro_textvae.report.projection import has_something_to_see, principal_plane
from pyro_textvae.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)

_LEAD = (
    "A point is the vector that a sentence is written from, at the posterior means, by the first "
    "two principal components of those of all documents shown. A line goes through the sentences "
    "of one document, from the first, which is ringed, to the last."
)


def plan(runs: Sequence[RunRecord], decoded: Mapping[int, DecodedRun]) -> Section | None:
    """The longest documents drawn and written out; None where no run has a plan of sentences."""
    with_plans = [run for run in runs if decoded[run.number].plans]
    if not with_plans:
        return None

    def blocks_of(run: RunRecord) -> list[Block]:
        return _blocks(run, decoded[run.number], runs)

    return Section("Plans of documents", "plans", for_each_run(with_plans, blocks_of, _LEAD))


def _blocks(run: RunRecord, text: DecodedRun, runs: Sequence[RunRecord]) -> list[Block]:
    vectors = np.concatenate(text.plans)
    if not has_something_to_see(vectors):
        why = f"The vectors of the sentences of {run.name} all coincide: there is no way to draw."
        return [Note(why, "missing")]
    plane = principal_plane(vectors)[0]
    ways = np.split(plane.positions, np.cumsum([len(each) for each in text.plans])[:-1])
    # A stable sort: of equal length the first ones.
    longest = np.argsort([-len(each) for each in text.plans], kind="stable")[: len(_COLOURS)]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        x, y = plane.positions.T
        axes.scatter(x, y, color=PALE, s=9, linewidths=0)
        for number, (place, colour) in enumerate(zip(longest, _COLOURS, strict=False), 1):
            way = ways[place]
            axes.plot(*way.T, color=colour, marker="o", label=f"document {number}")
            axes.plot(*way[0], color=DARK, marker="o", fillstyle="none", markersize=10)
        if plane.axes is not None:
            axes.set(xlabel=plane.axes[0], ylabel=plane.axes[1])
        axes.set_title(plane.title)
        axes.legend()

    alt = f"Plans of {len(longest)} documents of the {text.split} split"
    picture = draw(picture_name("plans", run, runs), (640, 440), paint, alt=alt, caption="")
    rows = tuple(
        (f"document {number}, sentence {line}", sentence)
        for number, place in enumerate(longest, 1)
        for line, sentence in enumerate(text.sentences[place].splitlines(), 1)
    )
    return [picture, Table(("", "sentence"), rows, folded=True, prose=True)]
