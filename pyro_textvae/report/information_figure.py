# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The nll of each cell of a comparison against the information in its latents, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyro_textvae.errors import UserError
from pyro_textvae.report.blocks import Picture
from pyro_textvae.report.canvas import BLUE, DARK, GREY, ORANGE, PALE, draw, drawable
from pyro_textvae.units import nats_per_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 16
"""Pixels that a name takes."""


def information_figure(result: Mapping[str, Any]) -> Picture:
    """Distortion and rate, as people read them: what z tells, and what a sentence costs.

    A point for each cell with a latent, small ones for its seeds, and a hollow one for its bound; a
    line for each that has none, whose nll is exact. Below the line z pays. With a reference, the
    interval of the paired difference stands on each point.

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

    heights = [*of_lines.values(), *(row["nll"] for row in measured)]
    heights += [row["elbo"] for row in measured if row["elbo"] is not None]
    heights += [end for row in measured for end in intervals.get(row["cell"], ())]
    margin = 0.06 * (max(heights) - min(heights) or 1)
    low, high = min(heights) - margin, max(heights) + margin
    height = max(460, 60 + _ROW * len(rows))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_ylim(low, high)
        for row in lines:
            axes.axhline(row["nll"], color=ORANGE, linewidth=1.2)
        for row in measured:
            x, y = row[name], row["nll"]
            if row["cell"] in intervals:
                bottom, top = intervals[row["cell"]]
                axes.vlines(x, bottom, top, color=GREY, linewidth=1)
            if row["elbo"] is not None:
                axes.plot([x, x], [y, row["elbo"]], ":", color=PALE, linewidth=1)
                axes.plot([x], [row["elbo"]], "o", color=PALE, markerfacecolor="white")
            seeds = [(run[name], run["nll"]) for run in row["runs"]]
            axes.plot(*zip(*seeds, strict=True), ".", color=GREY, markersize=3)
            axes.plot([x], [y], "o", color=BLUE)
        axes.margins(x=0.12)
        _label(axes, rows, name, _ROW / height)
        axes.set_xlabel(label)
        axes.set_ylabel(f"nll, {nats_per_text(result)}")

    return draw(
        "information",
        (860, height),
        paint,
        alt="nll of each configuration against the information in its latents",
        caption="Full points: nll; hollow ones: what the evidence lower bound says of the same "
        "runs. Below the line of a model without a latent, z pays.",
    )


def _label(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, gap: float) -> None:
    """Names in a column on the right, each tied to its point or line, none over another.

    A thread goes level to the edge of the axes and slants only beyond it: none crosses another.
    """
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    axes.set_xlim(right=right)  # The threads end there, and would move it.
    places = _spread([(row["nll"] - low) / (high - low) for row in rows], gap)
    for row, place in zip(rows, places, strict=True):
        colour = ORANGE if _is_exact(row) else DARK
        if not _is_exact(row):
            axes.hlines(row["nll"], row[name], right, color=colour, linewidth=0.4, alpha=0.4)
        axes.annotate(
            drawable(row["cell"]),
            (right, row["nll"]),
            xytext=(1.14, place),
            textcoords="axes fraction",
            va="center",
            color=colour,
            fontsize=8,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.4,
                "alpha": 0.6,
                # To the beginning of the name, not through it to its middle.
                "relpos": (0, 0.5),
                "shrinkA": 2,
            },
        )


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Near ``places``, in their order, at least ``gap`` apart, and in [0, 1] where there is room.

    >>> _spread([0.25, 0.25, 0.75], gap=0.25)
    [0.125, 0.375, 0.75]
    >>> _spread([0.0, 0.0], gap=0.25)
    [0.0, 0.25]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    # Neighbours too near make a group, whose middle is that of its places.
    groups: list[list[float]] = []
    for i in order:
        groups.append([places[i]])
        while len(groups) > 1 and _middle(groups[-1]) - _middle(groups[-2]) < gap * (
            (len(groups[-1]) + len(groups[-2])) / 2
        ):
            last = groups.pop()
            groups[-1] += last
    spread = []
    for group in groups:
        first = _middle(group) - gap * (len(group) - 1) / 2
        spread += [first + gap * number for number in range(len(group))]
    shift = min(0.0, 1.0 - spread[-1]) or max(0.0, -spread[0])
    found = [0.0] * len(places)
    for i, place in zip(order, spread, strict=True):
        found[i] = place + shift
    return found


def _middle(group: Sequence[float]) -> float:
    return sum(group) / len(group)


def _is_exact(row: Mapping[str, Any]) -> bool:
    """Whether its runs have no latent, so that their nll is no estimate."""
    return all(run["exact"] for run in row["runs"])


def _intervals(result: Mapping[str, Any], nlls: Mapping[str, float]) -> dict[str, Sequence[float]]:
    """The ends of the nll of each cell, by its paired difference to the reference."""
    if "reference" not in result or result["reference"] not in nlls:
        return {}
    level = nlls[result["reference"]]
    return {each["a"]: [level + end for end in each["interval"]] for each in result["differences"]}
