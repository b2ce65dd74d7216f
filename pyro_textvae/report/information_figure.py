# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The nll of each cell of a comparison against the information in its latents, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyro_textvae.errors import UserError
from pyro_textvae.report.blocks import Picture
from pyro_textvae.report.canvas import BLUE, DARK, GREY, ORANGE, draw, drawable
from pyro_textvae.units import nats_per_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def information_figure(result: Mapping[str, Any]) -> Picture:
    """Distortion and rate, as people read them: what z tells, and what a sentence costs.

    A point for each cell with a latent, and small ones for its seeds; a line for each that has
    none, whose nll is exact. Below the line z pays. With a reference, the interval of the paired
    difference stands on each point.

    :param result: what :func:`~pyro_textvae.grid.comparison.compare_grid` returns.
    :raises UserError: where no cell has both an nll and a number of its latents.
    """
    rows = [row for row in result["rows"] if row["nll"] is not None]
    measured = [row for row in rows if row["kl"] is not None and not _is_exact(row)]
    if not measured:
        raise UserError("a figure needs a finished run with a latent, and there is none")
    is_known = all(row["mutual_information"] is not None for row in measured)
    name = "mutual_information" if is_known else "kl"
    label = "mutual information of z and x, nats" if is_known else "KL term, nats"
    lines = [row for row in rows if _is_exact(row)]
    of_lines = {row["cell"]: row["nll"] for row in lines}
    intervals = _intervals(result, of_lines | {row["cell"]: row["nll"] for row in measured})

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for row in lines:
            axes.axhline(row["nll"], color=ORANGE, linewidth=1.2)
            axes.annotate(
                drawable(row["cell"]),
                (1, row["nll"]),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 3),
                textcoords="offset points",
                ha="right",
                color=ORANGE,
                fontsize=8,
            )
        for row in measured:
            x, y = row[name], row["nll"]
            if row["cell"] in intervals:
                low, high = intervals[row["cell"]]
                axes.vlines(x, low, high, color=GREY, linewidth=1)
            seeds = [(run[name], run["nll"]) for run in row["runs"]]
            axes.plot(*zip(*seeds, strict=True), ".", color=GREY, markersize=3)
            axes.plot([x], [y], "o", color=BLUE)
            axes.annotate(
                drawable(row["cell"]),
                (x, y),
                xytext=(5, 3),
                textcoords="offset points",
                color=DARK,
                fontsize=8,
            )
        axes.set_xlabel(label)
        axes.set_ylabel(f"nll, {nats_per_text(result)}")
        axes.margins(x=0.12, y=0.12)

    return draw(
        "information",
        (720, 460),
        paint,
        alt="nll of each configuration against the information in its latents",
        caption="Below the line of a model without a latent, z pays.",
    )


def _is_exact(row: Mapping[str, Any]) -> bool:
    """Whether its runs have no latent, so that their nll is no estimate."""
    return all(run["exact"] for run in row["runs"])


def _intervals(result: Mapping[str, Any], nlls: Mapping[str, float]) -> dict[str, Sequence[float]]:
    """The ends of the nll of each cell, by its paired difference to the reference."""
    if "reference" not in result or result["reference"] not in nlls:
        return {}
    level = nlls[result["reference"]]
    return {each["a"]: [level + end for end in each["interval"]] for each in result["differences"]}
